package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway/client/internal/place"
)

const (
	maxRead = 64 << 20 // most bytes read of an answer to a question

	without action = "without" // ask again without a position
)

// Read asks a question of the data API: route is what follows the project in
// the path, such as "customers/export-one". question becomes the body, in JSON,
// and answer is what [json.Unmarshal] makes of the answer. The key of the
// client must be allowed to read, so it is usually a private one.
//
// The answer shows everything that this client has delivered before the call,
// and everything up to [Client.After], even if another server of the cluster
// has stored it. Commands that still wait are not delivered: call
// [Client.Flush] first.
//
// If a server cannot answer, Read asks another one, until ctx ends, so give it
// a deadline. If the question is refused, the error is an [AnswerError].
func (c *Client) Read(ctx context.Context, route string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode the question: %w", err)
	}
	last := ""
	for to, moves, bare := "", 0, false; ; {
		if c.isClosed() {
			return ErrClosed
		}
		s, err := c.turn(ctx)
		if err != nil {
			return unanswered(err, last)
		}
		if to == "" {
			moves, to = 0, c.dataPath(s, route)
		}
		at := ""
		if !bare {
			at = c.place.Held()
		}
		a := c.question(ctx, s, to, at, body)
		if ctx.Err() != nil && a.err != nil {
			return unanswered(context.Cause(ctx), last)
		}
		a.moves, to = moves, ""
		d := c.fleet.heardQuestion(s, a, at, time.Now())
		c.place.Note(a.header.Get(place.Header), at, false, d.action == without)
		switch d.action {
		case done:
			if err := json.Unmarshal(a.body, answer); err != nil {
				return fmt.Errorf("decode the answer: %w", err)
			}
			return nil
		case without:
			bare = true
		case move:
			to, moves = d.url, moves+1
			c.fleet.moved(origin(d.url, c.dataPath(&server{}, route)))
		case reject:
			return &AnswerError{a.status, d.reason}
		default:
			last = d.reason
		}
	}
}

// unanswered returns the error of a question that time ended, with the reason
// why the last request failed, which may be empty.
func unanswered(err error, last string) error {
	if last == "" {
		return err
	}
	return fmt.Errorf("%w; the latest request failed: %s", err, last)
}

// Position names how far the data of a cluster goes, as far as this client
// knows: everything that it has delivered is included. Hand it to another
// process, which reads: see [Client.After]. A program without a client sends it
// in the header Trackway-Position. It is empty if nothing was delivered yet, or
// if the server stands alone.
func (c *Client) Position() string { return c.place.Held() }

// After makes later calls of [Client.Read] show everything up to a position of
// another client, of the same project and the same cluster. The later one of
// this position and the client's own counts. An empty position changes nothing.
func (c *Client) After(position string) error {
	if position != "" && !place.Is(position) {
		return fmt.Errorf("%q is not a position, such as 0.1234", position)
	}
	c.place.Learn(position)
	return nil
}

// dataPath returns the URL of a route of the data API.
func (c *Client) dataPath(s *server, route string) string {
	return s.URL + "/data/v2/projects/" + url.PathEscape(c.o.Project) + "/" + strings.TrimLeft(route, "/")
}

// question sends a question to a server, and reads the whole answer.
func (c *Client) question(ctx context.Context, s *server, to, at string, body []byte) *answer {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("no answer within %v", c.o.Timeout))
	defer cancel()
	req, err := newRequest(ctx, http.MethodPost, to, body)
	if err != nil {
		return &answer{url: to, header: http.Header{}, err: err}
	}
	if at != "" {
		req.Header.Set(place.Header, at)
	}
	return c.send(ctx, s, req, maxRead)
}

// heardQuestion returns what an answer to a question means, and updates what is
// known about the server.
func (f *fleet) heardQuestion(s *server, a *answer, at string, now time.Time) decision {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pace.answered(a.header, now, random())
	d := f.rules.decideQuestion(a, at, s.failures+1, now)
	f.conclude(s, &d, now)
	return d
}

// decideQuestion returns what an answer to a question means. at is the position
// that was sent. A question that is refused is not asked again.
func (r rules) decideQuestion(a *answer, at string, attempt int, now time.Time) decision {
	switch {
	case a.err != nil:
		return r.retry(a, attempt, now, true, a.err.Error())
	case a.status == http.StatusOK:
		return decision{action: done}
	case a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout:
		return r.retry(a, attempt, now, false, a.why())
	case a.status >= 300 && a.status < 400:
		if to := a.target(); to != "" && a.moves < maxMoves {
			return decision{action: move, url: to}
		}
		return r.retry(a, attempt, now, true, "a redirect without a usable target")
	case a.status == http.StatusBadRequest && at != "" && strings.Contains(string(a.body), place.Header):
		return decision{action: without}
	case a.status >= 400 && a.status < 500:
		return decision{action: reject, reason: a.why()}
	}
	return r.retry(a, attempt, now, true, a.why())
}

// why returns the reason of a refusal. Those of the data API name fields.
func (a *answer) why() string {
	var body struct{ Errors map[string][]string }
	if json.Unmarshal(a.body, &body) != nil || len(body.Errors) == 0 {
		return a.reason()
	}
	var texts []string
	for _, text := range body.Errors {
		texts = append(texts, text...)
	}
	slices.Sort(texts)
	return orElse(strings.Join(texts, " "), a.reason())
}
