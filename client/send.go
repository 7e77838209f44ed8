package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"trackway/client/internal/place"
)

const (
	maxAnswer = 4 << 20          // most bytes read of an answer: a Trackway server never sends more
	patience  = 10 * time.Second // for an answer of /api/servers, for which commands wait
)

// run sends until ctx ends. Only one request is under way at a time: this keeps
// commands in order.
func (c *Client) run(ctx context.Context) {
	for c.awaitDue(ctx) {
		if _, err := c.turn(ctx); err != nil { // before the batch is taken, so that it is as full as possible
			return
		}
		batch, err := c.take()
		if err != nil {
			c.noteTrouble(err)
			if sleep(ctx, firstDelay) != nil {
				return
			}
			continue
		}
		if err := c.deliver(ctx, batch, 0); err != nil {
			return
		}
		c.settle()
	}
}

// awaitDue waits until a batch is due. It reports false if ctx ended first.
func (c *Client) awaitDue(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ctx.Err() == nil {
		waiting := c.queue.state().waiting
		age := time.Since(c.oldest)
		if c.due(waiting, age, c.unsettledLocked(c.flush) > 0) {
			return true
		}
		wait, stop := ctx, func() {}
		if waiting > 0 {
			wait, stop = context.WithTimeout(ctx, c.o.Interval-age)
		}
		c.waitLocked(wait)
		stop()
	}
	return false
}

// due reports whether to send a batch: if it is full, if its first command has
// waited long enough, or if a flush asks for it.
func (c *Client) due(waiting int, oldest time.Duration, flush bool) bool {
	return waiting >= c.o.BatchSize || waiting > 0 && (flush || oldest >= c.o.Interval)
}

func (c *Client) take() ([][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch, err := c.queue.take(newRoom(c.o.BatchSize))
	c.onWay = len(batch)
	c.wayFrom = c.took - uint64(c.queue.state().waiting+c.onWay)
	c.oldest = time.Now()
	c.changedLocked() // nobody has to wait for commands that turned out to be damaged
	return batch, err
}

// settle removes the delivered commands from the queue.
func (c *Client) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.queue.settle(); err != nil {
		c.troubleLocked(err) // the next client sends them again, and the server stores them once
	}
	c.changedLocked()
}

// turn waits until the client may ask a server, and returns that server.
func (c *Client) turn(ctx context.Context) (*server, error) {
	for {
		c.discover(ctx)
		s, wait := c.fleet.next(time.Now())
		if s != nil {
			return s, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// sleep waits for d. If ctx ends first, it returns the cause.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// deliver sends a batch until all of it is settled. Its only error is that of
// ctx. moves counts the redirects that led here.
func (c *Client) deliver(ctx context.Context, batch [][]byte, moves int) error {
	for to := ""; len(batch) > 0; {
		s, err := c.turn(ctx)
		if err != nil {
			return err
		}
		if to == "" {
			moves, to = 0, c.path(s, "batch")
		}
		before := c.place.Held()
		a := c.ask(ctx, s, http.MethodPost, to, appendBody(nil, batch))
		if ctx.Err() != nil && a.err != nil {
			return context.Cause(ctx)
		}
		a.moves, to = moves, ""
		d := c.fleet.decide(s, a, len(batch), time.Now())
		c.count(a, &d)
		c.place.Note(a.header.Get(place.Header), before, d.stored(), false)
		switch d.action {
		case move:
			to, moves = d.url, moves+1
			c.fleet.moved(origin(d.url, c.path(&server{}, "batch")))
		case split:
			half := (len(batch) + 1) / 2
			if err := c.deliver(ctx, batch[:half:half], 0); err != nil {
				return err
			}
			batch = batch[half:]
		case reject:
			for _, command := range batch {
				c.rejected(command, a.status, d.reason)
			}
			return nil
		case done:
			batch = c.conclude(batch, d.results)
		case retry:
		}
	}
	return nil
}

// origin returns the server that a redirect leads to: the part of the address
// before path, or scheme and host if the redirect changes the path.
func origin(to, path string) string {
	if before, ok := strings.CutSuffix(to, path); ok {
		return before
	}
	u, _ := url.Parse(to) // it was made from a URL
	return u.Scheme + "://" + u.Host
}

// conclude settles the commands that have a result, and returns those to send
// again.
func (c *Client) conclude(batch [][]byte, results []result) (left [][]byte) {
	for i, r := range results {
		switch r.outcome {
		case delivered:
			c.delivered()
		case rejected:
			c.rejected(batch[i], http.StatusOK, r.reason)
		case again:
			left = append(left, batch[i])
		}
	}
	return left
}

func (c *Client) delivered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Delivered++
	c.onWay-- // waiters are woken when the queue has settled the batch
}

func (c *Client) rejected(command []byte, status int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellRejectionLocked(Rejection{command, status, reason})
	c.stats.Rejected++
	c.onWay--
}

func (c *Client) count(a *answer, d *decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Requests++
	c.stats.LastError = d.reason
	if d.action != retry {
		return
	}
	if a.status == http.StatusTooManyRequests {
		c.stats.Limited++
	} else {
		c.stats.Failed++
	}
	if d.denied {
		c.stats.Denied++
	}
	trouble := a.err
	if trouble == nil {
		trouble = &AnswerError{a.status, d.reason}
	}
	c.troubleLocked(trouble)
}

// path returns the URL of a route of the tracking API.
func (c *Client) path(s *server, route string) string {
	return s.URL + "/track/v2/projects/" + url.PathEscape(c.o.Project) + "/" + route
}

// ask sends one request of the tracking API to a server and reads the whole
// answer. The body may be nil.
func (c *Client) ask(ctx context.Context, s *server, method, to string, body []byte) *answer {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("no answer within %v", c.o.Timeout))
	defer cancel()
	req, err := newRequest(ctx, method, to, body)
	if err != nil {
		return &answer{url: to, header: http.Header{}, err: err}
	}
	return c.send(ctx, s, req, maxAnswer)
}

// send sends a request with the client's key, and reads the whole answer.
func (c *Client) send(ctx context.Context, s *server, req *http.Request, most int) *answer {
	a := &answer{url: req.URL.String(), header: http.Header{}}
	if c.o.KeyID == "" {
		req.Header.Set("Authorization", "Token "+c.o.Token)
	} else {
		req.SetBasicAuth(c.o.KeyID, c.o.Secret)
	}
	c.fleet.sent(s)
	c.exchange(req, a, most)
	if a.err != nil && ctx.Err() != nil {
		a.err = context.Cause(ctx)
	}
	return a
}

// newRequest makes a request. The body is JSON, or nil.
func newRequest(ctx context.Context, method, to string, body []byte) (*http.Request, error) {
	packed, compressed := compress(body)
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "trackway-go/1")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if compressed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

// compress returns the body in gzip if that is worth the work.
func compress(body []byte) (out []byte, compressed bool) {
	if !pays(len(body)) {
		return body, false
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil || b.Len() >= len(body) {
		return body, false
	}
	return b.Bytes(), true
}

func pays(bodyBytes int) bool { return bodyBytes >= gzipFrom }

// exchange sends a request and puts the whole answer into a.
func (c *Client) exchange(req *http.Request, a *answer, most int) {
	res, err := c.http.Do(req)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err // without the URL
		}
		a.err = err
		return
	}
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	a.body, a.err = io.ReadAll(io.LimitReader(res.Body, int64(most)+1))
	if a.err == nil && len(a.body) > most {
		a.err = errAnswer
	}
}

// discover reads the list of servers if the options ask for it and it is time
// to.
func (c *Client) discover(ctx context.Context) {
	unlisted := false
	for _, address := range c.fleet.toAsk(c.o.URLs, c.o.Discover, time.Now()) {
		servers, answered := c.readServers(ctx, address)
		if servers != nil {
			c.fleet.learned(servers)
			return
		}
		unlisted = unlisted || answered
	}
	if unlisted {
		c.fleet.keep()
	}
}

// readServers asks one address for the list of servers. It returns nil if there
// is no answer, or if something else answers, such as the page of a portal.
// Such an answer must not replace a list that we have.
func (c *Client) readServers(ctx context.Context, address string) (servers []*server, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, min(patience, c.o.Timeout))
	defer cancel()
	req, err := newRequest(ctx, http.MethodGet, address+"/api/servers", nil)
	if err != nil {
		return nil, false
	}
	a := &answer{}
	if c.exchange(req, a, maxAnswer); a.err != nil || a.status >= 500 || a.status == http.StatusTooManyRequests {
		return nil, false
	}
	if servers = readServers(a.body, address); servers[0].Name == "" {
		return nil, true
	}
	return servers, true
}
