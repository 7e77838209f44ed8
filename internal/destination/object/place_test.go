package object

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

// TestRewindOfARemovedDay restores a day that an operator has removed.
func TestRewindOfARemovedDay(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		b := newMemory()
		r := rand.New(rand.NewPCG(1, 1))
		h := newHistory(r, 30)
		s := k.sink(t, b)
		e := &engine{h, r, s}
		if err := e.run(t.Context(), h.last); err != nil {
			t.Fatal(err)
		}
		for name := range b.objects {
			if strings.HasPrefix(name, "events/dt=2026-11-28/") {
				delete(b.objects, name)
			}
		}
		if err := s.Rewind(t.Context(), destination.Position{Store: storeID}); err != nil {
			t.Fatal(err)
		}
		if err := e.run(t.Context(), h.last); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		h.wantAll(t, s, b, h.last)
	}
}

// careless is a bucket that ignores conditions of some operations.
type careless struct {
	*memory

	create, replace bool
}

func (c careless) Create(ctx context.Context, name string, data []byte) (string, error) {
	if c.create {
		delete(c.objects, name)
	}
	return c.memory.Create(ctx, name, data)
}

func (c careless) Replace(ctx context.Context, name, tag string, data []byte) (string, error) {
	if c.replace {
		tag = c.tag(c.objects[name])
	}
	return c.memory.Replace(ctx, name, tag, data)
}

// TestCareless: a bucket that ignores conditions is refused, and nothing is
// left in it. A folder has no other writers, so it is not checked.
func TestCareless(t *testing.T) {
	t.Parallel()
	for _, c := range []careless{{create: true}, {replace: true}} {
		for _, late := range []bool{true, false} {
			c.memory = newMemory()
			s, err := New(config.Destination{Name: "out"}, c, Options{Late: late})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Prepare(t.Context())
			if isFinal(err) != late || late && len(c.objects) > 0 {
				t.Errorf("%+v, %t: got %v and %d objects", c, late, err, len(c.objects))
			}
		}
	}
}

// TestLeavesAnotherStoreAlone uses the place of a store that is at work, as a
// server does that was restored from a backup somewhere else. It takes the
// place over only on an operator's request.
func TestLeavesAnotherStoreAlone(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		b := newMemory()
		r := rand.New(rand.NewPCG(1, 1))
		h := newHistory(r, 30)
		k.o.Store = storeID
		s := k.sink(t, b)
		if err := (&engine{h, r, s}).run(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		k.o.Store = "other"
		other := k.sink(t, b)
		p, err := other.Prepare(t.Context())
		if want := (destination.Position{Store: storeID, Number: 20}); err != nil || p != want {
			t.Errorf("%s: got %v, %v", k.name, p, err)
		}
		if err := other.Mend(t.Context(), 1, 100, nil); !isFinal(err) {
			t.Errorf("%s: mend: got %v", k.name, err)
		}
		if _, err := s.Write(t.Context(), h.batch(20, 30)); err != nil {
			t.Fatalf("%s: the owner is disturbed: %v", k.name, err)
		}
		h.wantAll(t, s, b, 30)
		if _, err := other.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.Rewind(t.Context(), destination.Position{Store: "other", Number: 12}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(t.Context()); !isFinal(err) {
			t.Errorf("%s: the owner is not told: %v", k.name, err)
		}
		if p, err := other.Prepare(t.Context()); err != nil || p.Number != 12 || p.Store != "other" {
			t.Errorf("%s: got %v, %v", k.name, p, err)
		}
	}
}

// TestLongErasure erases a customer with events on many days. An attempt has
// too little time for all, so each attempt continues where the last one
// stopped.
func TestLongErasure(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			b := newMemory()
			s := k.sink(t, b)
			if _, err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			const days = 12
			last := &destination.Batch{Store: storeID, After: days * partNumbers, Through: days*partNumbers + 1}
			for n := range uint64(days) {
				e := event(n*partNumbers+1, 1, `{"mail":"SECRET"}`)
				e.Received = start + trackway.Micros(n)*day
				c := destination.Customer{
					Customer: 1, Project: "demo", Changed: n*partNumbers + 2, Properties: []byte(`{"name":"SECRET"}`),
					IDs: []trackway.Identifier{{Name: "registered", Value: "SECRET@example.com"}},
				}
				if _, err := s.Write(t.Context(), &destination.Batch{
					Store: storeID, After: n * partNumbers, Through: (n + 1) * partNumbers, Events: []destination.Event{e}, Customers: []destination.Customer{c},
				}); err != nil {
					t.Fatal(err)
				}
				e.Properties = []byte(`{}`)
				last.Rewritten = append(last.Rewritten, e)
			}
			last.Customers = []destination.Customer{{Customer: 1, Project: "demo", Changed: last.Through, Properties: []byte(`{}`), Erased: true}}
			for attempt := 0; ; attempt++ {
				if _, err := s.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				n := 0
				b.fail = func(string, string) (after, late bool, err error) {
					if n++; n > 80 {
						return false, false, errInjected
					}
					return false, false, nil
				}
				_, err := s.Write(t.Context(), last)
				b.fail = nil
				if err == nil {
					break
				}
				if attempt == 20 {
					t.Fatalf("after %d attempts: %v", attempt, err)
				}
			}
			if strings.Contains(plainBytes(t, s, b), "SECRET") {
				t.Error("something erased is left")
			}
		})
	}
}

// TestErasureInARemovedDay erases events of a day that an operator has removed,
// as the docs permit. There is nothing to do, and no reason to stop.
func TestErasureInARemovedDay(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		b := newMemory()
		r := rand.New(rand.NewPCG(1, 1))
		h := newHistory(r, 20)
		s := k.sink(t, b)
		if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
			t.Fatal(err)
		}
		batch := &destination.Batch{Store: storeID, After: h.last, Through: h.last}
		for seq := range h.last {
			e, ok := h.events[seq]
			if !ok {
				continue
			}
			e.Properties = []byte(`{}`)
			batch.Rewritten = append(batch.Rewritten, e)
			if h.events[seq] = e; dayOf(e.Received) == "dt=2026-11-28" {
				delete(h.events, seq)
			}
		}
		for name := range b.objects {
			if strings.HasPrefix(name, "events/dt=2026-11-28/") {
				delete(b.objects, name)
			}
		}
		if _, err := s.Write(t.Context(), batch); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		got, err := b.cache.read(s, b.objects)
		if err != nil {
			t.Fatal(err)
		}
		for seq := range got.events {
			if seq < h.last && string(got.events[seq].Properties) != "{}" {
				t.Errorf("%s: event %d is not rewritten", k.name, seq)
			}
		}
		if want := len(h.events); len(got.events) != want {
			t.Errorf("%s: got %d events, want %d", k.name, len(got.events), want)
		}
	}
}

// TestWideRows fills an object with small events and many columns. Events of
// other types have null in a type's column, which takes space, too.
func TestWideRows(t *testing.T) {
	t.Parallel()
	d := config.Destination{Name: "out"}
	for i := range 200 {
		d.Columns = append(d.Columns, config.Column{Type: "purchase", Property: fmt.Sprintf("a_property_of_purchases_%d", i), As: "text"})
	}
	b := newMemory()
	s, err := New(d, b, Options{Late: true, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	const rows, batches = 1000, 10
	for n := range uint64(batches) {
		batch := &destination.Batch{Store: storeID, After: n * rows, Through: (n + 1) * rows}
		for seq := batch.After + 1; seq <= batch.Through; seq++ {
			batch.Events = append(batch.Events, destination.Event{Seq: seq, Project: "demo", Customer: 1, Type: "visit", At: start, Received: start, Properties: []byte(`{}`)})
		}
		if _, err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for name, data := range b.objects {
		if !strings.HasSuffix(name, s.format.ending()) {
			continue
		}
		if plain, err := z.DecodeAll(data, nil); err != nil || len(plain) > 3*full {
			t.Errorf("%s has %d bytes of rows, %v", name, len(plain), err)
		}
	}
	// An erasure reads the object again.
	_, err = s.Write(t.Context(), &destination.Batch{
		Store: storeID, After: rows * batches, Through: rows * batches,
		Rewritten: []destination.Event{{Seq: 7, Project: "demo", Customer: 1, Type: "visit", At: start, Received: start, Properties: []byte(`{"erased":true}`)}},
	})
	if err != nil {
		t.Error(err)
	}
}

// TestColumnOfTheFolder: a column is refused if readers could not see it,
// because the folder's name gives them a column with this name.
func TestColumnOfTheFolder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dt", "DT"} {
		_, err := New(config.Destination{Name: "out", Columns: []config.Column{{Property: "day", Name: name, As: "text"}}}, newMemory(), Options{})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
