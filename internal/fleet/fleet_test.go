package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// states returns the servers and their states in the order in which the fleet
// got them.
func states(f *Fleet) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var texts []string
	for _, s := range append([]Server{f.self}, f.rest...) {
		texts = append(texts, s.Name+" "+string(s.State))
	}
	return strings.Join(texts, ", ")
}

// TestAsk asks real servers over loopback.
func TestAsk(t *testing.T) {
	t.Parallel()
	answering := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/status" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			if status/100 == 3 {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	f := New(Server{Name: "self"}, nil)
	for name, c := range map[string]struct {
		url  string
		want State
	}{
		"up":                   {answering(200, `{"state":"up"}`), Up},
		"up, with a slash":     {answering(200, `{"state":"up"}`) + "/", Up},
		"in service":           {answering(200, `{"state":"service"}`), Service},
		"asked too often":      {answering(429, `{"status":429}`), Up},
		"failing":              {answering(500, `{"state":"up"}`), Down},
		"redirecting":          {answering(302, `{"state":"up"}`), Down},
		"another kind of page": {answering(200, `<html>`), Down},
		"another kind of JSON": {answering(200, `{}`), Down},
		"endless":              {answering(200, `{"a":"`+strings.Repeat("x", maxAnswer)+`","state":"up"}`), Down},
		"gone":                 {gone.URL, Down},
		"no address":           {"http://%zz", Down},
	} {
		if got := f.ask(t.Context(), c.url); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got := f.ask(ctx, silent.URL); got != Down {
		t.Errorf("silent: got %s, want down", got)
	}
	f.client.CloseIdleConnections()
}

// network answers for the servers of a test, by host. A host that is missing
// does not answer at all.
type network struct {
	mu    sync.Mutex
	hosts map[string]string
}

func (n *network) set(host, state string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = state
}

func (n *network) remove(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts, host)
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	state, ok := n.hosts[r.URL.Host]
	n.mu.Unlock()
	if !ok {
		<-r.Context().Done()
		return nil, errors.New("no answer")
	}
	body := io.NopCloser(strings.NewReader(`{"state":"` + state + `"}`))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
}

func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := &network{hosts: map[string]string{"a": "up", "b": "service"}}
		a, b, c := Server{Name: "a", URL: "http://a"}, Server{Name: "b", URL: "http://b"}, Server{Name: "c", URL: "http://c"}
		f := New(Server{Name: "self"}, []Server{a, b, c})
		f.client.Transport = net
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		want := func(text string) {
			t.Helper()
			if got := states(f); got != text {
				t.Errorf("got %s, want %s", got, text)
			}
		}
		want("self up, a down, b down, c down") // no server has answered yet
		go func() { done <- f.Run(ctx) }()
		<-time.After(patience) // c takes all of it
		synctest.Wait()
		want("self up, a up, b service, c down")

		net.set("b", "up")
		net.set("c", "up")
		net.remove("a")
		<-time.After(2 * interval)
		synctest.Wait()
		want("self up, a down, b up, c up")

		net.set("d", "up")
		f.Reload(Server{Name: "self"}, []Server{b, {Name: "d", URL: "http://d"}})
		want("self up, b up, d down")
		synctest.Wait()
		want("self up, b up, d up") // d is asked at once

		f.Stop()
		f.Reload(Server{Name: "self"}, []Server{b})
		want("self service, b up")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Clients that take the first server spread evenly over the servers that are
// up.
func TestServers(t *testing.T) {
	t.Parallel()
	f := New(Server{Name: "a"}, []Server{{Name: "b"}, {Name: "c"}, {Name: "d"}})
	for name, state := range map[string]State{"b": Down, "c": Up, "d": Up} {
		f.set(Server{Name: name}, state)
	}
	first := map[string]int{}
	for range 300 {
		servers := f.Servers()
		if len(servers) != 4 || servers[3].Name != "b" {
			t.Fatalf("got %v, want four, b the last", servers)
		}
		first[servers[0].Name]++
	}
	for _, name := range []string{"a", "c", "d"} {
		if first[name] != 100 {
			t.Errorf("%s came first %d times of 300, want 100", name, first[name])
		}
	}
	f.Stop()
	if got := f.Servers(); got[2].Name != "a" || got[2].State != Service {
		t.Errorf("got %v, want this server in service before the one that is down", got)
	}
	if got := f.Self(); got.Name != "a" || got.State != Service {
		t.Errorf("got %v", got)
	}
	if got := New(Server{Name: "a"}, nil).Servers(); len(got) != 1 {
		t.Errorf("got %v, want one", got)
	}
}

// Each server that is up is picked equally often.
func TestPick(t *testing.T) {
	t.Parallel()
	f := New(Server{Name: "a", Region: "eu"}, []Server{{Name: "b", Region: "eu"}, {Name: "c", Region: "us"}, {Name: "d", Region: "us"}})
	for name, state := range map[string]State{"b": Up, "c": Up, "d": Service} {
		f.set(Server{Name: name}, state)
	}
	for _, c := range []struct {
		name, region, want string
		known              bool
	}{
		{"", "", "abc", true},
		{"", "eu", "ab", true},
		{"", "us", "c", true},
		{"b", "", "b", true},
		{"b", "eu", "b", true},
		{"d", "", "", true},
		{"b", "us", "", false},
		{"e", "", "", false},
		{"", "moon", "", false},
	} {
		picked := map[string]int{}
		for range 300 {
			s, known, up := f.Pick(c.name, c.region)
			if known != c.known || up != (c.want != "") || up != (s.Name != "") {
				t.Fatalf("%q %q: got %v %v %v", c.name, c.region, s, known, up)
			}
			picked[s.Name]++
		}
		for name := range strings.SplitSeq(c.want, "") {
			if picked[name] < 50 {
				t.Errorf("%q %q: got %v, want each of %s about as often", c.name, c.region, picked, c.want)
			}
		}
	}
}
