package object

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/destination"
)

// plainBytes returns all objects, decoded far enough to search in them.
func plainBytes(t *testing.T, s *Sink, b *memory) string {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var all strings.Builder
	for name, data := range b.objects {
		switch {
		case strings.HasSuffix(name, ".zst"):
			if data, err = z.DecodeAll(data, nil); err != nil {
				t.Fatal(err)
			}
		case strings.HasSuffix(name, ".parquet"):
			folder, _, _ := strings.Cut(name, "/")
			err := s.decode(s.table(folder), data, func(r row) bool {
				for _, v := range r {
					all.WriteString(v.Text + "\n")
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		all.Write(data)
	}
	return all.String()
}

// erasure returns a batch that erases customer 1, who has absorbed 2, who had
// absorbed 3.
func erasure() (before []*destination.Batch, last *destination.Batch) {
	person := func(c trackway.Customer, changed uint64) destination.Customer {
		return destination.Customer{
			Customer: c, Project: "demo", Changed: changed, Properties: []byte(`{"name":"SECRET"}`),
			IDs: []trackway.Identifier{{Name: "registered", Value: fmt.Sprintf("SECRET%d@example.com", c)}},
		}
	}
	absorbed := func(c, by trackway.Customer, changed uint64) destination.Customer {
		return destination.Customer{Customer: c, Project: "demo", Changed: changed, Survivor: by, Properties: []byte(`{}`)}
	}
	before = []*destination.Batch{
		{Store: storeID, After: 0, Through: 4, Customers: []destination.Customer{person(1, 1), person(2, 2), person(3, 3), {Customer: 4, Project: "demo", Changed: 4, Properties: []byte(`{"name":"kept"}`)}}},
		{Store: storeID, After: 4, Through: 6, Events: []destination.Event{event(5, 1, `{"mail":"SECRET"}`), event(6, 4, `{"mail":"kept"}`)}},
		{Store: storeID, After: 6, Through: 7, Customers: []destination.Customer{absorbed(3, 2, 7)}},
		{Store: storeID, After: 7, Through: 9, Customers: []destination.Customer{absorbed(2, 1, 8), person(1, 9)}},
	}
	gone := destination.Customer{Customer: 1, Project: "demo", Changed: 10, Properties: []byte(`{}`), Erased: true}
	return before, &destination.Batch{
		Store: storeID, After: 9, Through: 11, Customers: []destination.Customer{gone}, Events: []destination.Event{event(11, 4, `{}`)},
		Rewritten: []destination.Event{event(5, 1, `{}`)}, Erasures: []destination.Erasure{{ID: 1, Project: "demo", Customer: 1, Asked: start}},
	}
}

// TestErasure checks that no byte of an erased customer is left, wherever a
// process dies.
func TestErasure(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for at := 1; ; at++ {
				b := newMemory()
				s := k.sink(t, b)
				if _, err := s.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				before, last := erasure()
				for _, batch := range before {
					if _, err := s.Write(t.Context(), batch); err != nil {
						t.Fatal(err)
					}
				}
				if !strings.Contains(plainBytes(t, s, b), "SECRET") {
					t.Fatal("there is nothing to erase")
				}
				n := 0
				b.fail = func(string, string) (after, late bool, err error) {
					n++
					if n < at {
						return false, false, nil
					}
					return n == at && at%2 == 0, false, errInjected
				}
				_, err := s.Write(t.Context(), last)
				b.fail = nil
				done := err == nil
				if !done {
					s = k.sink(t, b)
					p, err := s.Prepare(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if p.Number == 9 {
						if _, err := s.Write(t.Context(), last); err != nil {
							t.Fatal(err)
						}
					}
				}
				if all := plainBytes(t, s, b); strings.Contains(all, "SECRET") || !strings.Contains(all, "kept") {
					t.Fatalf("after a crash at operation %d, something erased is left, or something else is gone", at)
				}
				h := &history{last: 11, events: map[uint64]destination.Event{5: event(5, 1, `{}`), 6: event(6, 4, `{"mail":"kept"}`), 11: event(11, 4, `{}`)}}
				h.wantAll(t, s, b, 11)
				if done {
					break
				}
			}
		})
	}
}

// TestRewind sends changes again, with other borders and other content, and
// dies in between.
func TestRewind(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for at := 1; at < 80; at += 7 {
				b := newMemory()
				r := rand.New(rand.NewPCG(uint64(at), 1))
				h := newHistory(r, 30)
				s := k.sink(t, b)
				e := &engine{h, r, s}
				if err := e.run(t.Context(), h.last); err != nil {
					t.Fatal(err)
				}
				for seq, event := range h.events { // as after a change of drop or rename
					if seq > 10 {
						event.Properties = []byte(`{"other":1}`)
						h.events[seq] = event
					}
				}
				if err := s.Rewind(t.Context(), destination.Position{Store: storeID, Number: 10}); err != nil {
					t.Fatal(err)
				}
				n := 0
				b.fail = func(string, string) (after, late bool, err error) {
					n++
					if n < at {
						return false, false, nil
					}
					return n == at, false, errInjected
				}
				_ = e.run(t.Context(), h.last-3)
				b.fail = nil
				s = k.sink(t, b)
				if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
					t.Fatal(err)
				}
				h.wantAll(t, s, b, h.last)
			}
		})
	}
}

// TestAnotherStore: the rows of another store are removed, but only on request.
func TestAnotherStore(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		b := newMemory()
		r := rand.New(rand.NewPCG(1, 1))
		h := newHistory(r, 30)
		s := k.sink(t, b)
		if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
			t.Fatal(err)
		}
		other := h.batch(30, 31)
		other.Store = "other"
		if _, err := s.Write(t.Context(), other); !isFinal(err) {
			t.Errorf("%s: got %v", k.name, err)
		}
		if _, err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Rewind(t.Context(), destination.Position{Store: "other", Number: 12}); err != nil {
			t.Fatal(err)
		}
		for seq := range h.events {
			if seq > 12 {
				delete(h.events, seq)
			}
		}
		h.wantAll(t, s, b, 12)
	}
}

func isFinal(err error) bool {
	var f *destination.FinalError
	return errors.As(err, &f)
}

// TestForeign: a place is refused if it belongs to something else, or was
// changed by hand.
func TestForeign(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		filled := func() (*memory, *history) {
			b := newMemory()
			r := rand.New(rand.NewPCG(1, 1))
			h := newHistory(r, 20)
			if err := (&engine{h, r, k.sink(t, b)}).run(t.Context(), h.last); err != nil {
				t.Fatal(err)
			}
			return b, h
		}
		last := func(b *memory) string {
			found := ""
			for name, data := range b.objects {
				if strings.HasPrefix(name, "events/") && name > found && len(data) > 0 {
					found = name
				}
			}
			return found
		}
		for what, change := range map[string]func(b *memory){
			"a state that was changed": func(b *memory) {
				b.objects[stateName] = bytes.Replace(b.objects[stateName], []byte(`"number":20`), []byte(`"number":10`), 1)
			},
			"another destination": func(b *memory) {
				b.objects[stateName] = bytes.Replace(b.objects[stateName], []byte(`"destination":"out"`), []byte(`"destination":"oot"`), 1)
			},
			"objects without a state":         func(b *memory) { delete(b.objects, stateName) },
			"a manifest that was changed":     func(b *memory) { swap(b, "manifests/events/dt=2026-11-29.json", `"rows":`, `"rows": `) },
			"an object that was changed":      func(b *memory) { b.objects[last(b)] = append(b.objects[last(b)], '\n') },
			"an object that somebody removed": func(b *memory) { delete(b.objects, last(b)) },
		} {
			b, h := filled()
			change(b)
			s := k.sink(t, b)
			_, err := s.Prepare(t.Context())
			if err == nil {
				h.last++
				batch := h.batch(20, 20)
				batch.Through = 21
				batch.Events = []destination.Event{event(21, 1, `{}`)}
				_, err = s.Write(t.Context(), batch)
			}
			if !isFinal(err) {
				t.Errorf("%s: %s: got %v", k.name, what, err)
			}
		}
	}
}

func swap(b *memory, name, from, to string) {
	b.objects[name] = bytes.Replace(b.objects[name], []byte(from), []byte(to), 1)
}

// TestMend finds and repairs what somebody has done to the objects.
func TestMend(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for what, damage := range map[string]func(b *memory, name string){
				"nothing": func(*memory, string) {},
				"removed": func(b *memory, name string) { delete(b.objects, name) },
				"cut off": func(b *memory, name string) { b.objects[name] = b.objects[name][:len(b.objects[name])/2] },
				"a copy": func(b *memory, name string) {
					b.objects[strings.Replace(name, "/seq=", "/copy-seq=", 1)] = b.objects[name]
				},
				"another's place": func(b *memory, name string) {
					b.objects["events/dt=2020-01-01/x"+name[strings.IndexByte(name, '.'):]] = b.objects[name]
				},
			} {
				b := newMemory()
				r := rand.New(rand.NewPCG(7, 7))
				h := newHistory(r, 40)
				s := k.sink(t, b)
				if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
					t.Fatal(err)
				}
				m, err := s.manifestOf(t.Context(), s.tables[events], "dt=2026-11-29")
				if err != nil {
					t.Fatal(err)
				}
				damage(b, m.last().Name)
				differs := func() (n int) {
					seen := map[uint64]int{}
					last := uint64(0)
					if err := s.Events(t.Context(), 0, 1000, func(e *destination.Event) bool {
						if e.Seq < last {
							t.Errorf("%s: event %d follows %d", what, e.Seq, last)
						}
						last = e.Seq
						seen[e.Seq]++
						return true
					}); err != nil {
						t.Fatal(err)
					}
					for seq := range h.events {
						if seen[seq] != 1 {
							n++
						}
					}
					return n
				}
				if n := differs(); (n > 0) == (what == "nothing") {
					t.Errorf("%s: %d events differ", what, n)
				}
				for low := uint64(0); low < 60; low += 15 {
					if err := s.Mend(t.Context(), low, low+15, h.batch(max(low, 1)-1, low+14).Events); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
				}
				if n := differs(); n > 0 {
					t.Errorf("%s: mended, and %d events differ", what, n)
				}
				h.wantAll(t, s, b, h.last)
			}
		})
	}
}
