package limit

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/allocs"
)

// refusedAt returns the decision about the 31st call, 18 s into the window, at
// a known moment.
func refusedAt(t *testing.T, wall time.Time) Decision {
	t.Helper()
	l := New(mustSet(t, api()), 100)
	l.base = wall.Add(-18 * time.Second)
	var d Decision
	for range 30 {
		l.Allow(l.base, call("/api/x", "192.0.2.1"))
	}
	d = l.Allow(wall, call("/api/x", "192.0.2.1"))
	if d.Allowed {
		t.Fatal("the 31st call was admitted")
	}
	return d
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	d := refusedAt(t, time.Unix(1575391870, 300e6))
	h, f := http.Header{}, new(Fields)
	f.Set(h, &d)
	want := http.Header{
		"X-RateLimit-Limit":     {"30"},
		"X-RateLimit-Remaining": {"0"},
		"X-RateLimit-Reset":     {"1575391883"},
		"RateLimit-Policy":      {`"api";q=30;w=30`},
		"RateLimit":             {`"api";r=0;t=12`},
		"Retry-After":           {"12"},
		"Cache-Control":         {"no-store"},
		"Content-Type":          {"application/json"},
	}
	if diff := cmp.Diff(h, want); diff != "" {
		t.Errorf("fields (-got +want):\n%s", diff)
	}
	body := `{"status":429,"error":"rate limit","message":"Too many requests. Limit to max 30 per 30 seconds. Try again in 12 seconds."}`
	if got := string(d.AppendBody(nil)); got != body {
		t.Errorf("body\n%s, want\n%s", got, body)
	}
}

// An admitted answer has only the five fields, and an unlimited answer has no
// fields.
func TestAdmittedFields(t *testing.T) {
	t.Parallel()
	l := New(mustSet(t, api()), 100)
	d := l.Allow(time.Now(), call("/api/x", "192.0.2.1"))
	h, f := http.Header{}, new(Fields)
	f.Set(h, &d)
	if len(h) != 5 || h.Get("Retry-After") != "" || h["RateLimit"][0] != `"api";r=29;t=30` {
		t.Errorf("got %v, want the five fields", h)
	}
	d = l.Allow(time.Now(), call("/", "192.0.2.1"))
	h = http.Header{}
	f.Set(h, &d)
	if len(h) != 0 {
		t.Errorf("got %v, want none", h)
	}
}

// The names keep their letter case on HTTP/1.1.
func TestFieldsOnTheWire(t *testing.T) {
	t.Parallel()
	d := refusedAt(t, time.Now())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		new(Fields).Set(w.Header(), &d)
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write(d.AppendBody(nil))
	}))
	defer server.Close()
	raw := exchange(t, server.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for _, name := range []string{fieldLimit, fieldRemaining, fieldReset, fieldPolicy, fieldState, "Retry-After", "Cache-Control", "Date"} {
		if strings.Count(raw, "\r\n"+name+": ") != 1 {
			t.Errorf("%q is not there once in\n%s", name, raw)
		}
	}
	if !strings.HasPrefix(raw, "HTTP/1.1 429 Too Many Requests\r\n") {
		t.Errorf("got\n%s", raw)
	}
}

// exchange sends request to addr and returns the whole response.
func exchange(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestFieldsDoNotAllocate(t *testing.T) {
	d := refusedAt(t, time.Now())
	h, f, b := http.Header{}, new(Fields), make([]byte, 0, 256)
	if n := allocs.PerRun(500, func() {
		f.Set(h, &d)
		b = d.AppendBody(b[:0])
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if !bytes.HasSuffix(b, []byte(`12 seconds."}`)) {
		t.Errorf("got %s", b)
	}
}

// The longest values have room: none is ever cut, and none moves to other
// memory.
func TestFieldsHaveRoom(t *testing.T) {
	p := api()
	p.Name, p.Limit, p.Window = strings.Repeat("n", maxName), 4_194_303, 24*time.Hour
	l := New(mustSet(t, p), 100)
	d := l.Allow(time.Unix(1<<40, 0), call("/api/x", "192.0.2.1"))
	d.Allowed = false
	h, f := http.Header{}, new(Fields)
	if n := allocs.PerRun(100, func() { f.Set(h, &d) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if got, want := h["RateLimit"][0], `"`+p.Name+`";r=4194302;t=86400`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
