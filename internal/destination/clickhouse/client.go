package clickhouse

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"trackway/internal/destination"
	"trackway/internal/sleep"
)

const (
	requestTimeout = 5 * time.Minute // for one query; the sink repeats a query that took longer
	busyFor        = 10 * time.Second
	runningWait    = 5 * time.Second // for an earlier query with our id to end
	runningPause   = 50 * time.Millisecond
)

// client sends queries to ClickHouse's HTTP interface. Its errors contain
// neither the URL nor the server's text, which may quote values. Instead they
// describe the exception's code in our own words.
type client struct {
	url            string // without user, password and parameters
	user, password string
	http           *http.Client
}

func newClient(u *url.URL, user, password string) *client {
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if plain.Path == "" {
		plain.Path = "/"
	}
	return &client{url: plain.String(), user: user, password: password, http: &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 1,
			// This is less than ClickHouse's default keep_alive_timeout of 10
			// seconds, so no request uses a connection that the server is
			// closing.
			IdleConnTimeout: 5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// exception is an exception that ClickHouse answered with. Its text is ignored,
// because it may quote values.
type exception struct{ code int }

// The codes of exceptions that we handle. See ClickHouse's
// src/Common/ErrorCodes.cpp.
const (
	codeUnknownTable   = 60
	codeAlreadyRunning = 216
)

// hints tell an operator what the usual exceptions mean.
var hints = map[int]string{
	16:                 "a column is missing in the table",
	26:                 "a value does not fit the table",
	27:                 "a value does not fit the table",
	53:                 "a value does not fit the table",
	57:                 "the table exists",
	codeUnknownTable:   "the table is missing",
	81:                 "the database is missing",
	115:                "the server is too old, and does not know a setting",
	117:                "the table lacks a column, or a value does not fit",
	159:                "the server gave up after its time limit",
	164:                "the user may only read",
	192:                "wrong user or password",
	193:                "wrong user or password",
	194:                "a password is needed",
	202:                "too many queries at once",
	codeAlreadyRunning: "an earlier request of this destination is still running",
	241:                "the server is out of memory",
	243:                "the server's disk is full",
	242:                "the table is read-only",
	252:                "too many parts: merges do not keep up",
	452:                "the user's profile forbids a setting",
	469:                "a constraint of the table forbids a row",
	497:                "the user lacks a privilege",
	516:                "wrong user or password",
}

// busy holds the codes of exceptions that go away if the server gets a rest.
var busy = map[int]bool{codeAlreadyRunning: true, 202: true, 241: true, 243: true, 252: true}

func (e *exception) Error() string {
	if hint := hints[e.code]; hint != "" {
		return fmt.Sprintf("%s (exception %d)", hint, e.code)
	}
	return fmt.Sprintf("exception %d", e.code)
}

// isException reports whether err is an exception with this code.
func isException(err error, code int) bool {
	var e *exception
	return errors.As(err, &e) && e.code == code
}

// settings are parameters of a request.
type settings map[string]string

// exec runs a statement that has no result.
func (c *client) exec(ctx context.Context, what, statement string, set settings) error {
	return c.rows(ctx, what, statement, set, func([]byte) error {
		return errors.New("the server answered a statement with rows")
	})
}

// insert runs an INSERT whose rows are in body, compressed with zstd.
func (c *client) insert(ctx context.Context, what, statement string, set settings, body []byte) error {
	set["query"] = statement
	return c.sendOne(ctx, what, set, body, true, func([]byte) error {
		return errors.New("the server answered an INSERT with rows")
	})
}

// rows runs a statement and calls yield for each line of its result. The line
// is valid during the call only.
func (c *client) rows(ctx context.Context, what, statement string, set settings, yield func([]byte) error) error {
	return c.sendOne(ctx, what, set, []byte(statement), false, yield)
}

// sendOne sends a request. If the request has a query id, the server refuses it
// while another query with this id is running, for instance one whose answer
// was lost. An id may also remain in use for a moment after the answer. sendOne
// waits until the id is free.
func (c *client) sendOne(ctx context.Context, what string, set settings, body []byte, compressed bool, yield func([]byte) error) error {
	for began := time.Now(); ; {
		err := c.send(ctx, what, set, body, compressed, yield)
		if !isException(err, codeAlreadyRunning) || time.Since(began) > runningWait {
			return err
		}
		if err := sleep.For(ctx, runningPause); err != nil {
			return err
		}
	}
}

func (c *client) send(ctx context.Context, what string, set settings, body []byte, compressed bool, yield func([]byte) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, fmt.Errorf("no answer within %v", requestTimeout))
	defer cancel()
	values := url.Values{
		// The server finishes before it answers, so that the status is true.
		"wait_end_of_query": {"1"},
	}
	for name, value := range set {
		values.Set(name, value)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"?"+values.Encode(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: the URL is not valid", what)
	}
	if c.user != "" {
		req.Header.Set("X-ClickHouse-User", c.user)
		req.Header.Set("X-ClickHouse-Key", c.password)
	}
	if compressed {
		req.Header.Set("Content-Encoding", "zstd")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", what, cleaned(ctx, err))
	}
	defer resp.Body.Close()
	if err := readAnswer(ctx, resp, yield); err != nil {
		return wrap(what, resp, err)
	}
	return nil
}

// cleaned returns an error of net/http without the URL. If the context has
// ended, it returns the cause of that.
func cleaned(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// readAnswer reads an answer to its end, so that the connection can be reused.
func readAnswer(ctx context.Context, resp *http.Response, yield func([]byte) error) error {
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-ClickHouse-Exception-Code") != "" {
		return readRefusal(resp)
	}
	r := bufio.NewReaderSize(resp.Body, 64<<10)
	for line := []byte(nil); ; line = line[:0] {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		for errors.Is(err, bufio.ErrBufferFull) {
			part, err = r.ReadSlice('\n')
			line = append(line, part...)
		}
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return fmt.Errorf("read the answer: %w", cleaned(ctx, err))
		}
		if err := readLine(bytes.TrimSuffix(line, []byte("\n")), yield); err != nil || end {
			return err
		}
	}
}

// readLine passes a line to yield, unless the line is empty or has an
// exception.
func readLine(line []byte, yield func([]byte) error) error {
	switch e, ok := exceptionIn(line); {
	case ok:
		return e
	case bytes.HasPrefix(line, []byte(exceptionMark)):
		return errors.New("an exception in the middle of the answer")
	case len(line) == 0:
		return nil
	}
	return yield(line)
}

// readRefusal returns the error that an answer describes.
func readRefusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the header says enough
	if e, ok := exceptionIn(text); ok {
		return e
	}
	if code, err := strconv.Atoi(resp.Header.Get("X-ClickHouse-Exception-Code")); err == nil {
		return &exception{code: code}
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}

// exceptionMark begins the exception that newer servers append to an answer
// that they have already begun.
const exceptionMark = "__exception__"

// exceptionIn returns the exception at the beginning of a server's text, such
// as "Code: 241. DB::Exception: …", if there is one.
func exceptionIn(text []byte) (e *exception, ok bool) {
	rest, _ := bytes.CutPrefix(text, []byte("Code: "))
	digits, _, ok := bytes.Cut(rest, []byte(". DB::"))
	code, err := strconv.Atoi(string(digits))
	return &exception{code: code}, ok && err == nil
}

// wrap gives an error its operation, and says how long to wait if the server is
// busy.
func wrap(what string, resp *http.Response, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	var e *exception
	after := time.Duration(0)
	if errors.As(err, &e) && busy[e.code] {
		after = busyFor
	}
	if resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests {
		after = busyFor
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			after = min(time.Duration(seconds)*time.Second, time.Hour)
		}
	}
	if after > 0 {
		return &destination.BusyError{Err: err, After: after}
	}
	return err
}
