package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trackway/client/internal/place"
)

// members is a cluster: what its servers answer to questions, by host, and what
// they were asked.
type members struct {
	mu     sync.Mutex
	asked  []string // host, position
	answer func(host, position string) *http.Response
}

func (m *members) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, r.URL.Hostname()+" "+r.Header.Get(place.Header))
	if res := m.answer(r.URL.Hostname(), r.Header.Get(place.Header)); res != nil {
		return res, nil
	}
	return nil, errors.New("connection refused")
}

func said(position, body string, status int) *http.Response {
	return reply(status, http.Header{place.Header: {position}}, body)
}

func (m *members) open(t *testing.T, urls ...string) *Client {
	t.Helper()
	c, err := New(Options{URLs: urls, Project: testProject, KeyID: "id", Secret: "secret", Transport: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// TestRead: a client that has written through one server sends the position
// along when it reads at another one, because the first is down.
func TestRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := ""
		m := &members{}
		m.answer = func(host, position string) *http.Response {
			switch {
			case host == down:
				return nil
			case position == "":
				return said("0.7", `{"results":[{"success":true}],"success":true}`, 200)
			}
			return said("0.8", `{"success":true,"data":["`+position+`"]}`, 200)
		}
		c := m.open(t, "http://a.example.com", "http://b.example.com")
		if c.Position() != "" {
			t.Errorf("got %q before the first answer", c.Position())
		}
		c.mustTrack(t, "one")
		if err := c.Flush(t.Context()); err != nil || c.Position() != "0.7" {
			t.Fatalf("got %v, position %q", err, c.Position())
		}
		down = strings.TrimPrefix(c.Server(), "http://")
		var got struct{ Data []string }
		if err := c.Read(t.Context(), "customers/events", map[string]any{}, &got); err != nil || !slices.Equal(got.Data, []string{"0.7"}) {
			t.Errorf("got %v, %v, after %q", got, err, m.asked)
		}
		if c.Position() != "0.8" || strings.Contains(c.Server(), down) {
			t.Errorf("position %q at %s", c.Position(), c.Server())
		}
	})
}

// TestReadElsewhere: a position that another process hands over is sent along.
// A cluster that does not know it is asked once more, without it.
func TestReadElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &members{answer: func(_, position string) *http.Response {
			if position != "" && position != "0.5" {
				return said("0.5", `{"success":false,"errors":{"Trackway-Position":["No."]}}`, 400)
			}
			return said("0.5", `{}`, 200)
		}}
		c := m.open(t, "http://a")
		if err := c.After("soon"); err == nil {
			t.Error("that is no position")
		}
		for _, position := range []string{"0.900", "", "0.40"} { // the later one counts
			if err := c.After(position); err != nil {
				t.Error(err)
			}
		}
		var got any
		for range 2 {
			if err := c.Read(t.Context(), "customers/events", 1, &got); err != nil {
				t.Error(err)
			}
		}
		if want := []string{"a 0.900", "a ", "a 0.5"}; !slices.Equal(m.asked, want) {
			t.Errorf("asked %q, want %q", m.asked, want)
		}
	})
}

// TestReadRefused: a question that is refused is not asked again, even if it is
// the position that is refused each time.
func TestReadRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &members{answer: func(string, string) *http.Response {
			return said("0.5", `{"success":false,"errors":{"Trackway-Position":["No."]}}`, 400)
		}}
		c := m.open(t, "http://a", "http://b")
		if err := c.After("0.900"); err != nil {
			t.Error(err)
		}
		var refused *AnswerError
		if err := c.Read(t.Context(), "customers/events", nil, new(any)); !errors.As(err, &refused) || refused.Status != 400 || len(m.asked) != 2 {
			t.Errorf("got %v after %q", err, m.asked)
		}
	})
}

// TestReadNobodyAnswers: Read ends with its context, and says why.
func TestReadNobodyAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &members{answer: func(string, string) *http.Response { return nil }}
		c := m.open(t, "http://a", "http://b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Read(ctx, "customers/events", nil, new(any))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") || len(m.asked) > 40 {
			t.Errorf("got %v after %d requests", err, len(m.asked))
		}
	})
}
