package limit

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/clientip"
	"trackway/internal/prereq"
)

// vector is a case of ../shared/conformance/ratelimit.json.
type vector struct {
	Case   string
	Policy struct {
		Name   string
		Limit  uint32
		Window int `json:"window_s"` // the vectors' spelling
	}
	Calls  []vectorCall
	Retry  [][2]int64 `json:"retry_after_of_ms_left"`
	After  int        `json:"after_calls"`
	Fields map[string]string
	Keys   [][2]string
}

type vectorCall struct {
	At        float64
	Times     int
	Allow     bool
	Remaining *uint32
	Retry     int64 `json:"retry_after_s"`
	Message   string
	SetLimit  uint32 `json:"set_limit"`
}

func readShared(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("../../../shared/conformance/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		prereq.Missing(t, prereq.Shared, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	var vectors []vector
	readShared(t, "ratelimit.json", &vectors)
	for _, v := range vectors {
		t.Run(v.Case, func(t *testing.T) {
			t.Parallel()
			if len(v.Calls)+len(v.Retry)+len(v.Fields)+len(v.Keys) == 0 {
				t.Fatal("a vector that this test does not understand")
			}
			v.runCalls(t)
			v.runFields(t)
			for _, r := range v.Retry {
				d := Decision{Wait: time.Duration(r[0]) * time.Millisecond}
				if got := d.RetryAfter(); got != r[1] {
					t.Errorf("%d ms left: got %d s, want %d s", r[0], got, r[1])
				}
			}
			for _, k := range v.Keys {
				if got := clientip.KeyOf(netip.MustParseAddr(k[0]), 64).String(); got != k[1] {
					t.Errorf("%s: got %s, want %s", k[0], got, k[1])
				}
			}
		})
	}
}

func (v *vector) set(t *testing.T, limit uint32) *Set {
	t.Helper()
	name := v.Policy.Name
	if name == "" {
		name = "api"
	}
	return mustSet(t, trackway.Policy{Name: name, Paths: []string{"/api/"}, Limit: limit, Window: time.Duration(v.Policy.Window) * time.Second})
}

func (v *vector) runCalls(t *testing.T) {
	t.Helper()
	if len(v.Calls) == 0 {
		return
	}
	l := New(v.set(t, v.Policy.Limit), 100)
	call := &Call{Method: "GET", Path: "/api/servers", Addr: netip.MustParseAddr("192.0.2.1")}
	for _, c := range v.Calls {
		if c.SetLimit > 0 {
			l.Reload(v.set(t, c.SetLimit))
			continue
		}
		var d Decision
		for range max(c.Times, 1) {
			d = l.Allow(l.base.Add(time.Duration(c.At*1000+0.5)*time.Millisecond), call)
			if d.Allowed != c.Allow {
				t.Fatalf("at %v s: allowed %v, want %v", c.At, d.Allowed, c.Allow)
			}
		}
		if c.Remaining != nil && d.Remaining != *c.Remaining {
			t.Errorf("at %v s: remaining %d, want %d", c.At, d.Remaining, *c.Remaining)
		}
		if c.Retry != 0 && d.RetryAfter() != c.Retry {
			t.Errorf("at %v s: retry after %d s, want %d s", c.At, d.RetryAfter(), c.Retry)
		}
		if got := string(d.AppendMessage(nil)); c.Message != "" && got != c.Message {
			t.Errorf("at %v s: message %q, want %q", c.At, got, c.Message)
		}
	}
}

func (v *vector) runFields(t *testing.T) {
	t.Helper()
	if v.Fields == nil {
		return
	}
	l := New(v.set(t, v.Policy.Limit), 100)
	var d Decision
	for range v.After {
		d = l.Allow(l.base, &Call{Method: "GET", Path: "/api/servers", Addr: netip.MustParseAddr("192.0.2.1")})
	}
	h, f := http.Header{}, new(Fields)
	f.Set(h, &d)
	for name, want := range v.Fields {
		if diff := cmp.Diff(h[name], []string{want}); diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
	}
}

func mustSet(t testing.TB, policies ...trackway.Policy) *Set {
	t.Helper()
	s, err := NewSet(policies, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
