package app

import (
	"testing"
	"time"

	"trackway"
	"trackway/internal/live"
	"trackway/internal/store"
)

// busy is a store in which something happens just before an erasure begins, and
// just after it is done.
type busy struct {
	*store.Store

	before, after func()
}

func (b busy) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (store.Erased, error) {
	b.before()
	defer b.after()
	return b.Store.Erase(project, c, personal, at)
}

// forgetful counts what it is told to forget.
type forgetful int

func (f *forgetful) Forget() { *f++ }

// TestEraserForgetsWhatWent erases a customer while new data comes in. The
// server forgets a refused command with an identifier that came to the customer
// after the caller looked the customer up. It also forgets a command that was
// refused before the erasure and is noted after it. A waiting event is shown to
// watchers without the erased data.
func TestEraserForgetsWhatWent(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	projects := []trackway.Project{{Token: "token"}}
	if err := s.Register(projects); err != nil {
		t.Fatal(err)
	}
	project := projects[0].Number
	registered := func(value string) trackway.Identifier {
		return trackway.Identifier{Name: "registered", Value: value, Hard: true}
	}
	jane, bob := registered("jane"), registered("bob")
	late := trackway.Identifier{Name: "cookie", Value: "late"}
	apply := func(ids ...trackway.Identifier) trackway.Customer {
		t.Helper()
		now := trackway.MicrosOf(time.Now())
		results := make([]trackway.Result, 1)
		err := s.Apply([]trackway.Command{{
			Kind: trackway.AddEvent, Project: project, IDs: ids, Type: "visit", Time: now, Received: now,
			Properties: []trackway.Property{{Name: "email", Value: []byte(`"jane@example.com"`)}},
		}}, results)
		if err != nil {
			t.Fatal(err)
		}
		return results[0].Customer
	}
	customer := apply(jane)
	hub := live.New(nil, s)
	reject := func(id trackway.Identifier) {
		hub.Reject(&live.Rejection{Project: project, Received: trackway.MicrosOf(time.Now()), Reason: id.Value, IDs: []trackway.Identifier{id}})
	}
	watch := func() *live.Watcher {
		t.Helper()
		w, err := hub.Watch(live.Filter{Events: true, Rejected: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, id := range []trackway.Identifier{jane, bob, late} {
		reject(id)
	}
	waiting := watch()
	defer waiting.Close()
	var forgotten forgetful
	erase := eraser{busy{s, func() { apply(jane, late) }, func() { reject(late) }}, hub, &forgotten}
	onItsWay := live.Rejection{Project: project, Received: trackway.MicrosOf(time.Now()), Reason: "on its way", IDs: []trackway.Identifier{late}}
	if _, err := erase.Erase(project, customer, []string{"email"}, trackway.MicrosOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	if forgotten != 1 {
		t.Errorf("the catalogue is told %d times to forget its examples", forgotten)
	}
	hub.Reject(&onItsWay)
	for name, w := range map[string]*live.Watcher{"one who was there": waiting, "one who comes": watch()} {
		items, _, err := w.Take(100)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			switch {
			case it.Rejection != nil && it.Rejection.Reason != "bob":
				t.Errorf("%s is shown what was refused to %q", name, it.Rejection.Reason)
			case it.Event != nil && string(it.Event.Properties) != "{}":
				t.Errorf("%s is shown an event with %s", name, it.Event.Properties)
			}
		}
		if len(items) < 2 {
			t.Errorf("%s is shown %d items, want Bob's command and events", name, len(items))
		}
		w.Close()
	}
}
