package live

import (
	"sync"
	"testing"
)

// erase takes the properties out of all events, but for the types of those that go altogether.
func (b bubble) erase(gone string) {
	b.l.mu.Lock()
	for i := range b.l.events {
		b.l.events[i].Properties = []byte(`{"erased":true}`)
		if b.l.events[i].Type == gone {
			b.l.events[i].Seq = 0 // no reader finds it
		}
	}
	b.l.mu.Unlock()
	b.h.Forget(1, nil)
}

// TestErased: an event that is in a watcher's queue, or on its way to it, when its customer is erased is shown as it is after that.
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
