package live

import (
	"slices"
	"sync"
	"testing"
	"time"

	"trackway"
)

// erase removes the properties of all events, and all events of the type gone.
func (b bubble) erase(gone string) {
	b.l.mu.Lock()
	for i := range b.l.events {
		b.l.events[i].Properties = []byte(`{"erased":true}`)
		if b.l.events[i].Type == gone {
			b.l.events[i].Seq = 0 // no reader finds it any more
		}
	}
	b.l.mu.Unlock()
	b.h.Forget(1, nil, time.Now())
}

// TestErased erases a customer while an event is in a watcher's queue, or on
// its way there. The watcher must see the event as it is after the erasure.
func TestErased(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(b bubble, w *Watcher){
		"in the queue": func(b bubble, _ *Watcher) {
			b.l.add("a", "gone", "b")
			settle()
			b.erase("gone")
		},
		"being read": func(b bubble, _ *Watcher) {
			b.l.reading = sync.OnceFunc(func() { b.erase("gone") })
			b.l.add("a", "gone", "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(b bubble) {
				w := mustWatch(b.T, b.h, Filter{Events: true}, nil)
				defer w.Close()
				prepare(b, w)
				wantErased(b.T, w)
			})
		})
	}
	t.Run("looked back at", func(t *testing.T) {
		t.Parallel()
		run(t, func(b bubble) {
			b.l.add("a", "gone", "b")
			t := b.T
			w := mustWatch(t, b.h, Filter{Events: true}, nil)
			defer w.Close()
			b.erase("gone")
			wantErased(t, w)
			b.l.add("c")
			settle()
			asked := b.l.asked
			if items, _, err := w.Take(7); err != nil || len(items) != 1 || b.l.asked != asked {
				t.Errorf("got %d items, %v; the log was asked %d times for what came since", len(items), err, b.l.asked-asked)
			}
		})
	})
}

func wantErased(t *testing.T, w *Watcher) {
	t.Helper()
	settle()
	items, dropped, err := w.Take(7)
	if err != nil || len(items) != 2 || dropped != 0 {
		t.Fatalf("got %d items, %d dropped, %v", len(items), dropped, err)
	}
	for _, it := range items {
		if string(it.Event.Properties) != `{"erased":true}` {
			t.Errorf("event %s is shown with %s", it.Event.Type, it.Event.Properties)
		}
	}
}

// TestRefusedBeforeAnErasure: a command that came before an erasure, but is
// noted as refused only after it, is not kept, because nothing would ever
// forget it. Other commands are kept: those that came later, name nobody, or
// belong to other projects, and those from before a clock was set back.
func TestRefusedBeforeAnErasure(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		erased := time.Unix(1_700_000_000, 0)
		jane := []trackway.Identifier{{Name: "registered", Value: "jane"}}
		b.h.Forget(1, jane, erased)
		for _, r := range []struct {
			reason string
			at     time.Duration // after the erasure
			of     uint32
			ids    []trackway.Identifier
		}{
			{"on its way", -time.Second, 1, jane},
			{"at that moment", 0, 1, jane},
			{"later", time.Second, 1, jane},
			{"of nobody", -time.Second, 1, nil},
			{"elsewhere", -time.Second, 2, jane},
			{"by a clock that was set back", -time.Hour, 1, jane},
		} {
			b.h.Reject(&Rejection{Project: r.of, Received: trackway.MicrosOf(erased.Add(r.at)), Reason: r.reason, IDs: r.ids})
		}
		w := mustWatch(b.T, b.h, Filter{Rejected: true}, nil)
		defer w.Close()
		settle()
		got, _ := types(b.T, w)
		slices.Sort(got)
		if want := []string{"!by a clock that was set back", "!elsewhere", "!later", "!of nobody"}; !slices.Equal(got, want) {
			b.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestWatchedCustomerIsErased: a watcher of a customer no longer knows the
// customer's identifiers once it is erased, even if that happens while the
// watching begins.
func TestWatchedCustomerIsErased(t *testing.T) {
	t.Parallel()
	jane := []trackway.Identifier{{Name: "registered", Value: "jane"}, {Name: "cookie", Value: "c"}}
	for name, during := range map[string]bool{"before": false, "while it begins": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(b bubble) {
				b.l.ids[7] = slices.Clone(jane)
				erase := func() {
					b.l.ids[7] = nil
					b.h.Forget(1, jane, time.Now())
				}
				if during {
					b.l.telling = sync.OnceFunc(erase)
				}
				w := mustWatch(b.T, b.h, Filter{Rejected: true, Project: 1, Customer: 7}, nil)
				defer w.Close()
				if !during {
					erase()
				}
				b.h.Reject(&Rejection{Project: 1, Received: trackway.MicrosOf(time.Now().Add(time.Minute)), Reason: "later", IDs: jane})
				settle()
				if got, _ := types(b.T, w); len(got) > 0 || len(w.ids) > 0 {
					b.Errorf("got %q, by %v", got, w.ids)
				}
			})
		})
	}
}

// TestForgetsAsSent: the store trims identifiers, a refused command holds them
// as they were sent. They are forgotten all the same.
func TestForgetsAsSent(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		b.h.Reject(&Rejection{Project: 1, Received: 5, Reason: "a", IDs: []trackway.Identifier{{Name: "registered", Value: " jane\t"}}})
		b.h.Forget(1, []trackway.Identifier{{Name: "registered", Value: "jane"}}, time.Now())
		if len(b.h.rejected) > 0 {
			b.Errorf("%v is kept", b.h.rejected[0].IDs)
		}
	})
}
