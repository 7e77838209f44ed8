package trial

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/contract"
	"trackway/internal/query"
)

// fakeStore has events, oldest first, and no other data.
type fakeStore struct {
	events []trackway.Event
	slow   func() // is called before each event
	closed bool
}

func (f *fakeStore) Snapshot() query.Snapshot { return fakeSnapshot{store: f} }

func (*fakeStore) Version(uint32) change.Version { return change.Version{} }

type fakeSnapshot struct {
	query.Snapshot

	store *fakeStore
}

func (f fakeSnapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	if !r.NewestFirst {
		panic("bug: the newest events come last")
	}
	for i := len(f.store.events) - 1; i >= 0; i-- {
		if f.store.slow != nil {
			f.store.slow()
		}
		if !yield(&f.store.events[i]) {
			break
		}
	}
	return nil
}

func (f fakeSnapshot) Close() error {
	f.store.closed = true
	return nil
}

func event(project uint32, typ string, second int64, properties string) trackway.Event {
	return trackway.Event{Project: project, Type: typ, Received: trackway.Micros(second * 1e6), Properties: []byte(properties)}
}

func question(schema string) Question {
	return Question{Project: 1, Contracts: []contract.Contract{{Type: "purchase", Schema: []byte(schema)}}, Events: 100, Patience: time.Minute}
}

// TestRun: a trial counts what would have been broken, of one project and type,
// and shows no value.
func TestRun(t *testing.T) {
	t.Parallel()
	f := &fakeStore{events: []trackway.Event{
		event(1, "purchase", 10, `{"price":"12 Jane"}`),
		event(2, "purchase", 20, `{"price":"1"}`),
		event(1, "visit", 30, `{}`),
		event(1, "purchase", 40, `{"price":"1"}`),
		event(1, "purchase", 50, `{"$quarantined":"x"}`),
		event(1, "purchase", 60, `{"price":1}`),
	}}
	q := question(`{"properties":{"price":{"type":"number"}},"required":["price"]}`)
	got, err := Run(t.Context(), f, q)
	if err != nil || !f.closed {
		t.Fatal(err, f.closed)
	}
	at := func(n int64) *int64 { return &n }
	want := Result{LookedAt: 6, From: at(10), Until: at(60), Types: []Type{{
		Type: "purchase", Checked: 4, Broken: 3, Share: 0.75, Reasons: []Reason{
			{"price", "type", "a number", 2, 10, 40, `"9"`},
			{"price", "required", "to be there", 1, 50, 50, ""},
		},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want): %s", diff)
	}
	q.Events = 3
	if got, err = Run(t.Context(), f, q); err != nil || got.LookedAt != 3 || !got.Cut || *got.From != 40 {
		t.Errorf("of three events: %+v, %v", got, err)
	}
	if _, err := Run(t.Context(), f, question(`{"typ":1}`)); err == nil || !strings.Contains(err.Error(), "/typ is not a keyword") {
		t.Errorf("a wrong schema: %v", err)
	}
	if got, err := Run(t.Context(), &fakeStore{}, q); err != nil || got.From != nil || got.Cut {
		t.Errorf("no events: %+v, %v", got, err)
	}
}

// TestPatience: a trial ends in time, and with its caller.
func TestPatience(t *testing.T) {
	t.Parallel()
	f := &fakeStore{events: make([]trackway.Event, 100_000)}
	q := question(`{}`)
	q.Events, q.Patience = 1<<30, 0
	if got, err := Run(t.Context(), f, q); err != nil || !got.Cut || got.LookedAt > lookEvery {
		t.Errorf("without time: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	f.slow = func() { cancel(gone) }
	q.Patience = time.Hour
	if got, err := Run(ctx, f, q); !errors.Is(err, gone) || got.LookedAt > 2*lookEvery {
		t.Errorf("without a caller: %+v, %v", got, err)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", `"Jane.Doe@example.com"`: `"xxxx.xxx@xxxxxxx.xxx"`, `-12.50`: "-99.99", `"Žofie 七"`: `"xxxxx x"`, `{"a":1}`: "an object",
		`[1]`: "an array", `null`: "null", `true`: "true", `"` + strings.Repeat("ab1", 50) + `"`: `"xx9xx9xx9xx9xx9xx9xx9xx…`, `"٣½\n"`: `"99\x"`,
	} {
		if got := Mask([]byte(raw)); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	if got, err := Read([]byte(`[{"type":"a","schema":{"x":1}}]`)); err != nil || got[0].Type != "a" || string(got[0].Schema) != `{"x":1}` {
		t.Errorf("got %v, %v", got, err)
	}
	for _, body := range []string{``, `[]`, `{}`, `[{"type":"a"}]`, `[{"schema":{}}]`, `[{"type":1,"schema":{}}]`} {
		if _, err := Read([]byte(body)); err == nil {
			t.Errorf("%s was read", body)
		}
	}
}
