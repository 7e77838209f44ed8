package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"trackway/internal/destination"
	"trackway/internal/destination/object"
)

// bucket is an [object.Bucket] in a bucket of the server. Tags are ETags.
type bucket struct {
	core         minio.Core
	name, prefix string
	transport    *http.Transport
	host         string
	secure       bool
	region       string
}

// requestTime is how long a request may take. An object has at most 16 MiB, so
// the rate must be at least 300 kB/s.
const requestTime = time.Minute

// mostBytes is the largest object that is read.
const mostBytes = 256 << 20

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: requestTime,
		MaxIdleConns:          4,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
	}
}

// Get implements [object.Bucket].
func (b *bucket) Get(ctx context.Context, name string) (data []byte, tag string, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	body, info, _, err := b.core.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, "", b.plain(ctx, err)
	}
	defer body.Close()
	data, err = io.ReadAll(io.LimitReader(body, mostBytes+1))
	if err == nil && len(data) > mostBytes {
		err = errors.New("the object is too large")
	}
	return data, info.ETag, b.plain(ctx, err)
}

// Create implements [object.Bucket].
func (b *bucket) Create(ctx context.Context, name string, data []byte) (tag string, err error) {
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	tag, err = b.put(ctx, name, data, o)
	if errors.Is(err, errPrecondition) {
		err = fs.ErrExist
	}
	return tag, err
}

// Replace implements [object.Bucket].
func (b *bucket) Replace(ctx context.Context, name, tag string, data []byte) (newTag string, err error) {
	var o minio.PutObjectOptions
	o.SetMatchETag(tag)
	newTag, err = b.put(ctx, name, data, o)
	if errors.Is(err, errPrecondition) || errors.Is(err, fs.ErrNotExist) {
		err = object.ErrChanged
	}
	return newTag, err
}

func (b *bucket) put(ctx context.Context, name string, data []byte, o minio.PutObjectOptions) (tag string, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	o.DisableMultipart = true // a condition is for a request
	o.ContentType = contentType(name)
	info, err := b.core.Client.PutObject(ctx, b.name, b.prefix+name, bytes.NewReader(data), int64(len(data)), o)
	return info.ETag, b.plain(ctx, err)
}

func contentType(name string) string {
	switch {
	case strings.HasSuffix(name, ".json"):
		return "application/json"
	case strings.HasSuffix(name, ".parquet"):
		return "application/vnd.apache.parquet"
	}
	return "application/zstd"
}

// Delete implements [object.Bucket].
func (b *bucket) Delete(ctx context.Context, name string) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	return b.plain(ctx, b.core.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}))
}

// List implements [object.Bucket].
func (b *bucket) List(ctx context.Context, prefix string, yield func(name string) bool) error {
	ctx, cancel := context.WithCancel(ctx) // ends the listing if yield does
	defer cancel()
	for info := range b.core.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if info.Err != nil {
			return b.plain(ctx, info.Err)
		}
		if !yield(strings.TrimPrefix(info.Key, b.prefix)) {
			return nil
		}
	}
	return nil
}

var errSlow = fmt.Errorf("the server did not answer within %s", requestTime)

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, requestTime, errSlow)
}

var errPrecondition = errors.New("a condition is not met")

// plain returns an error of the library without the URL, and without anything
// that the server quotes from the request.
func (b *bucket) plain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if answer := (minio.ErrorResponse{}); errors.As(err, &answer) {
		switch {
		case answer.Code == minio.NoSuchBucket:
			return fmt.Errorf("the bucket %q does not exist", b.name)
		case answer.StatusCode == http.StatusNotFound:
			return fs.ErrNotExist
		case answer.StatusCode == http.StatusPreconditionFailed:
			return errPrecondition
		case answer.StatusCode == http.StatusForbidden:
			return fmt.Errorf("the server refuses the access key, or it may not do this (%s)", answer.Code)
		}
		return fmt.Errorf("the server answered with status %d (%s)", answer.StatusCode, answer.Code)
	}
	if called := (*url.Error)(nil); errors.As(err, &called) {
		err = called.Err
	}
	return err
}

// busy turns answers that ask the client to come back later into errors.
type busy struct{ next http.RoundTripper }

var errBusy = errors.New("the server asks for a pause")

// RoundTrip implements [http.RoundTripper].
func (t busy) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests {
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
			answer.Body.Close()
			return nil, &destination.BusyError{Err: errBusy, After: time.Duration(seconds) * time.Second}
		}
	}
	return answer, nil
}

// setup returns the SQL that DuckDB needs to read the bucket.
func (b *bucket) setup() string {
	var s strings.Builder
	s.WriteString("-- DuckDB reads the bucket with this secret: fill in a key that may read.\n-- INSTALL httpfs;\n-- LOAD httpfs;\n")
	fmt.Fprintf(&s, "-- CREATE SECRET lake (TYPE s3, KEY_ID '…', SECRET '…', ENDPOINT '%s', USE_SSL %t", b.host, b.secure)
	if b.region != "" {
		fmt.Fprintf(&s, ", REGION '%s'", b.region)
	}
	if !strings.HasSuffix(b.host, ".amazonaws.com") {
		s.WriteString(", URL_STYLE 'path'")
	}
	s.WriteString(");\n")
	return s.String()
}
