// Package s3 is the destination that writes into a bucket of Amazon S3 or of a
// compatible server: Parquet, or NDJSON with zstd. internal/destination/object
// describes the content of the bucket. The server must obey conditions on
// writes (If-Match and If-None-Match), because they keep late requests and
// replaced processes from doing harm. [Sink.Check] checks this.
package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"trackway/internal/config"
	"trackway/internal/destination/object"
)

// Sink writes into a bucket.
type Sink struct {
	*object.Sink

	bucket *bucket
}

// New checks the settings and opens nothing. store is the store's id.
func New(d config.Destination, store string) (*Sink, error) {
	b, err := newBucket(d)
	if err != nil {
		return nil, err
	}
	place := "s3://" + strings.TrimSuffix(d.Bucket+"/"+b.prefix, "/")
	s, err := object.New(d, b, object.Options{Store: store, Late: true, Compress: true, Place: place, Setup: b.setup()})
	if err != nil {
		return nil, err
	}
	return &Sink{Sink: s, bucket: b}, nil
}

// Close closes idle connections.
func (s *Sink) Close() error {
	s.bucket.transport.CloseIdleConnections()
	return nil
}

func newBucket(d config.Destination) (*bucket, error) {
	endpoint, err := url.Parse(d.URL)
	if err != nil { // the error would quote the URL, and with it a password
		return nil, errors.New("url: is not a URL")
	}
	user, password := d.User, d.Password
	if endpoint.User != nil {
		if user == "" {
			user = endpoint.User.Username()
		}
		if password == "" {
			password, _ = endpoint.User.Password()
		}
	}
	switch {
	case endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Host == "":
		return nil, errors.New("url: must be the server's endpoint, such as https://s3.eu-central-1.amazonaws.com")
	case strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" || endpoint.Fragment != "":
		return nil, errors.New("url: the endpoint has neither a path nor a query; bucket and prefix are settings of their own")
	case d.Bucket == "":
		return nil, errors.New("bucket: is missing")
	case user == "" || password == "":
		return nil, errors.New("user and password: the access key or its secret is missing")
	}
	prefix := strings.Trim(d.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	transport := newTransport()
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(user, password, ""),
		Secure:     endpoint.Scheme == "https",
		Region:     d.Region,
		Transport:  busy{transport},
		MaxRetries: 1, // the engine repeats
	})
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	return &bucket{
		core: minio.Core{Client: client}, name: d.Bucket, prefix: prefix, transport: transport,
		host: endpoint.Host, secure: endpoint.Scheme == "https", region: d.Region,
	}, nil
}
