package object

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/scale"
	"trackway/internal/seal"
)

const storeID = "5f0e5f0e5f0e5f0e5f0e5f0e5f0e5f0e"

var start = trackway.MicrosOf(time.Date(2026, 11, 28, 23, 59, 0, 0, time.UTC))

// history is a store's log: events and customers by number.
type history struct {
	last      uint64
	events    map[uint64]destination.Event
	customers map[uint64]destination.Customer // the latest change of each, by number
	latest    map[trackway.Customer]uint64
}

func event(seq uint64, customer trackway.Customer, properties string) destination.Event {
	kind := "page_view"
	if seq%3 == 0 {
		kind = "purchase"
	}
	at := start + trackway.Micros(seq)*7_000_000 // midnight comes at 9
	return destination.Event{
		Seq: seq, Project: "demo", Customer: customer, Type: kind, At: at - 3, Received: at, Properties: []byte(properties),
	}
}

// newHistory makes a log of n changes.
func newHistory(r *rand.Rand, n int) *history {
	h := &history{events: map[uint64]destination.Event{}, customers: map[uint64]destination.Customer{}, latest: map[trackway.Customer]uint64{}}
	for range n {
		h.last++
		c := trackway.Customer(1 + r.IntN(6))
		if r.IntN(3) > 0 {
			h.events[h.last] = event(h.last, c, fmt.Sprintf(`{"n":%d,"total":%d.25}`, h.last, h.last))
			continue
		}
		h.change(destination.Customer{
			Customer: c, Project: "demo", Properties: fmt.Appendf(nil, `{"v":%d}`, h.last), Created: start,
			IDs: []trackway.Identifier{{Name: "registered", Value: fmt.Sprintf("c%d@example.com", c)}},
		})
	}
	return h
}

func (h *history) change(c destination.Customer) {
	c.Changed = h.last
	delete(h.customers, h.latest[c.Customer])
	h.latest[c.Customer] = h.last
	h.customers[h.last] = c
}

// batch returns the changes after a number, up to another.
func (h *history) batch(after, through uint64) *destination.Batch {
	b := &destination.Batch{Store: storeID, After: after, Through: through}
	for n := after + 1; n <= through; n++ {
		if e, ok := h.events[n]; ok {
			b.Events = append(b.Events, e)
		}
		if c, ok := h.customers[n]; ok {
			b.Customers = append(b.Customers, c)
		}
	}
	return b
}

// reading is what a reader sees.
type reading struct {
	events    map[uint64]destination.Event
	customers map[string]int // customer and changed
	ids       map[string]int
	doubled   []string
}

// cache has the rows of contents that were read before.
type cache map[string][]row

func (c cache) rows(s *Sink, t *table, data []byte) ([]row, error) {
	key := t.name + sum(data)
	if all, ok := c[key]; ok {
		return all, nil
	}
	var all []row
	err := s.decode(t, data, func(r row) bool {
		all = append(all, slices.Clone(r))
		return true
	})
	if err == nil {
		c[key] = all
	}
	return all, err
}

// read decodes objects, by name.
func (c cache) read(s *Sink, objects map[string][]byte) (*reading, error) {
	out := &reading{events: map[uint64]destination.Event{}, customers: map[string]int{}, ids: map[string]int{}}
	for name, data := range objects {
		folder, _, _ := strings.Cut(name, "/")
		t := s.table(folder)
		if t == nil {
			continue
		}
		all, err := c.rows(s, t, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, r := range all {
			switch t.name {
			case "events":
				e := eventOf(r)
				if _, ok := out.events[e.Seq]; ok {
					out.doubled = append(out.doubled, fmt.Sprint(e.Seq, " in ", name))
				}
				out.events[e.Seq] = e
			case "customers":
				key := fmt.Sprint(r[0].Int, " ", r[4].Int, " ", r[2].Text)
				if out.customers[key]++; out.customers[key] > 1 {
					out.doubled = append(out.doubled, "customer "+key)
				}
			case "customer_ids":
				key := fmt.Sprint(r[0].Int, " ", r[3].Int, " ", r[2].Text)
				if out.ids[key]++; out.ids[key] > 1 {
					out.doubled = append(out.doubled, "identifier "+key)
				}
			}
		}
	}
	return out, nil
}

// vouched returns the objects that the manifests name, after comparing them
// with their checksums.
func vouched(t *testing.T, b *memory) map[string][]byte {
	t.Helper()
	named := map[string][]byte{}
	for name, data := range b.objects {
		if !strings.HasPrefix(name, "manifests/") {
			continue
		}
		var m manifest
		if !seal.Whole(data) || json.Unmarshal(data, &m) != nil {
			t.Fatalf("%s is damaged", name)
		}
		var last uint64
		for _, e := range m.Objects {
			object, ok := b.objects[e.Name]
			if !ok || sum(object) != e.SHA256 || int64(len(object)) != e.Bytes {
				t.Errorf("%s: %s is not as its manifest says", name, e.Name)
			}
			if e.Rows > 0 && e.First <= last {
				t.Errorf("%s: %s begins at %d, and an object before it ends at %d", name, e.Name, e.First, last)
			}
			last = max(last, e.Last)
			named[e.Name] = object
		}
	}
	return named
}

// wantAll compares what both kinds of readers see with a log.
func (h *history) wantAll(t *testing.T, s *Sink, b *memory, through uint64) {
	t.Helper()
	want := map[uint64]destination.Event{}
	for seq, e := range h.events {
		if seq <= through {
			want[seq] = e
		}
	}
	for how, objects := range map[string]map[string][]byte{"all names": b.objects, "manifests": vouched(t, b)} {
		got, err := b.cache.read(s, objects)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if len(got.doubled) > 0 {
			t.Fatalf("%s: doubled: %v", how, got.doubled)
		}
		if diff := cmp.Diff(want, got.events); diff != "" {
			t.Fatalf("%s: events (-want +got):\n%s", how, diff)
		}
		for n, c := range h.customers {
			if n > through || c.Survivor != 0 {
				continue
			}
			if key := fmt.Sprint(uint64(c.Customer), " ", n, " ", string(c.Properties)); got.customers[key] != 1 {
				t.Fatalf("%s: customer %s is missing", how, key)
			}
		}
	}
}

// kind is a way to store objects.
type kind struct {
	name   string
	format string
	o      Options
	grows  bool
}

var kinds = []kind{
	{"s3 ndjson", "ndjson", Options{Late: true, Compress: true}, false},
	{"s3 parquet", "parquet", Options{Late: true}, false},
	{"file ndjson", "ndjson", Options{}, true},
	{"file parquet", "parquet", Options{}, true},
}

func (k kind) sink(t *testing.T, b *memory) *Sink {
	t.Helper()
	var bucket Bucket = b
	if k.grows {
		bucket = growing{b}
	}
	s, err := New(config.Destination{Name: "out", Format: k.format, Columns: []config.Column{
		{Type: "purchase", Property: "total", Name: "total", As: "decimal(12,2)"},
	}}, bucket, k.o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// engine does what the engine does: it repeats a batch until it is accepted.
type engine struct {
	h *history
	r *rand.Rand
	s *Sink
}

// run sends everything up to a number. It stops at the first error of a fresh
// process, which then dies.
func (e *engine) run(ctx context.Context, through uint64) error {
	pos, err := e.s.Prepare(ctx)
	if err != nil {
		return err
	}
	for after := pos.Number; after < through; {
		next := min(through, after+1+uint64(e.r.IntN(7)))
		b := e.h.batch(after, next)
		if b.Rows() == 0 && next < through {
			continue
		}
		if _, err := e.s.Write(ctx, b); err != nil {
			return err
		}
		after = next
	}
	return nil
}

func TestWrite(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			b := newMemory()
			r := rand.New(rand.NewPCG(1, 2))
			h := newHistory(r, 60)
			s := k.sink(t, b)
			if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
				t.Fatal(err)
			}
			h.wantAll(t, s, b, h.last)
			if got := slices.Collect(maps.Keys(b.objects)); len(got) > 20 {
				t.Errorf("small batches made %d objects: %v", len(got), got)
			}
			// The same batch comes again, and then one with another beginning.
			for _, after := range []uint64{0, 30} {
				if _, err := s.Write(t.Context(), h.batch(after, h.last)); err != nil {
					t.Fatal(err)
				}
			}
			h.wantAll(t, s, b, h.last)
		})
	}
}

// TestCrashes makes a process die at each operation, before or after the
// operation takes effect. The next process makes batches with other borders.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint(k.name, ", the operation took effect: ", after), func(t *testing.T) {
				t.Parallel()
				for at := 1; ; at++ {
					if !k.crash(t, at, after) {
						break
					}
				}
			})
		}
	}
}

// crash reports whether there were that many operations.
func (k kind) crash(t *testing.T, at int, tookEffect bool) bool {
	t.Helper()
	b := newMemory()
	h := newHistory(rand.New(rand.NewPCG(3, 4)), 14)
	s := k.sink(t, b)
	var position uint64
	b.watch = func(_, name string) {
		if name == stateName {
			position = k.position(t, b)
		}
		k.wantOnce(t, s, b, h, position)
	}
	n := 0
	b.fail = func(_, _ string) (after, late bool, err error) {
		if n++; n == at {
			return tookEffect, false, errInjected
		}
		if n > at { // the process is dead
			return false, false, errInjected
		}
		return false, false, nil
	}
	err := (&engine{h, rand.New(rand.NewPCG(5, 6)), s}).run(t.Context(), h.last)
	b.fail = nil
	s = k.sink(t, b)
	if err := (&engine{h, rand.New(rand.NewPCG(uint64(at), 8)), s}).run(t.Context(), h.last); err != nil {
		t.Fatalf("after a crash at operation %d: %v", at, err)
	}
	h.wantAll(t, s, b, h.last)
	return err != nil
}

func (k kind) position(t *testing.T, b *memory) uint64 {
	t.Helper()
	var st state
	if err := json.Unmarshal(b.objects[stateName], &st); err != nil {
		t.Fatal(err)
	}
	return st.Number
}

// wantOnce reads all names while writes are incomplete. It must see no row
// twice, and all rows up to the position.
func (k kind) wantOnce(t *testing.T, s *Sink, b *memory, h *history, position uint64) {
	t.Helper()
	got, err := b.cache.read(s, b.objects)
	if err != nil { // the torn end of an append that failed
		if k.grows && k.format == "ndjson" {
			return
		}
		t.Fatal(err)
	}
	if len(got.doubled) > 0 {
		t.Fatalf("doubled: %v", got.doubled)
	}
	for seq := range h.events {
		if _, ok := got.events[seq]; seq <= position && !ok {
			t.Fatalf("the position is %d, and event %d is missing", position, seq)
		}
	}
}

// TestLateRequest takes a place over while the last request of a stopped write
// is still arriving. The request changes the state between reading and writing
// it.
func TestLateRequest(t *testing.T) {
	t.Parallel()
	for _, k := range kinds[:2] {
		b := newMemory()
		r := rand.New(rand.NewPCG(1, 2))
		h := newHistory(r, 40)
		s := k.sink(t, b)
		if err := (&engine{h, r, s}).run(t.Context(), h.last-10); err != nil {
			t.Fatal(err)
		}
		states := 0
		b.fail = func(op, name string) (after, late bool, err error) {
			if op != "replace" || name != stateName {
				return false, false, nil
			}
			if states++; states == 1 { // the intent
				return false, false, nil
			}
			return false, true, errInjected
		}
		if _, err := s.Write(t.Context(), h.batch(h.last-10, h.last)); !errors.Is(err, errInjected) {
			t.Fatalf("%s: got %v", k.name, err)
		}
		b.fail = func(op, name string) (after, late bool, err error) {
			if op == "replace" && name == stateName {
				b.fail = nil
				b.arrive(r, true)
			}
			return false, false, nil
		}
		if _, err := s.Prepare(t.Context()); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		if b.fail != nil {
			t.Errorf("%s: no request came late", k.name)
		}
		if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
			t.Fatal(err)
		}
		h.wantAll(t, s, b, h.last)
	}
}

// TestLateRemoval removes the rows of another store. A removal whose answer was
// lost takes effect after the object was created again.
func TestLateRemoval(t *testing.T) {
	t.Parallel()
	const other = "0ff50ff50ff50ff50ff50ff50ff50ff5"
	for _, k := range kinds[:2] {
		b := newMemory()
		r := rand.New(rand.NewPCG(1, 2))
		h := newHistory(r, 40)
		s := k.sink(t, b)
		if _, err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		send := func(store string, after, through uint64) {
			t.Helper()
			batch := h.batch(after, through)
			batch.Store = store
			if _, err := s.Write(t.Context(), batch); err != nil {
				t.Fatalf("%s: %v", k.name, err)
			}
		}
		send(storeID, 0, 5)
		send(storeID, 5, 30) // midnight comes in between
		b.fail = func(op, name string) (after, late bool, err error) {
			if strings.HasPrefix(name, "events/dt=2026-11-29/") && op != "get" {
				return false, true, errInjected
			}
			return false, false, nil
		}
		if err := s.Rewind(t.Context(), destination.Position{Store: other, Number: 5}); !errors.Is(err, errInjected) {
			t.Fatalf("%s: got %v", k.name, err)
		}
		b.fail = nil
		if p, err := s.Prepare(t.Context()); err != nil || p.Number != 5 {
			t.Fatalf("%s: got %v, %v", k.name, p, err)
		}
		send(other, 5, 30)
		b.arrive(r, true)
		h.wantAll(t, s, b, 30)
	}
}

// TestLateWrites loses answers at random. Failed writes take effect never, at
// once, or much later. Processes are replaced while the old one is still at
// work.
func TestLateWrites(t *testing.T) {
	t.Parallel()
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(scale.Of(40, 8)) {
				k.late(t, seed)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func (k kind) late(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 9))
	b := newMemory()
	h := newHistory(r, 40)
	s := k.sink(t, b)
	var position uint64
	b.watch = func(_, name string) {
		if name == stateName {
			position = k.position(t, b)
		}
		k.wantOnce(t, s, b, h, position)
	}
	b.fail = func(op, _ string) (after, late bool, err error) {
		if r.IntN(4) == 0 {
			b.arrive(r, false)
		}
		switch r.IntN(40) {
		case 0:
			return false, false, errInjected
		case 1:
			return true, false, errInjected
		case 2, 3:
			return false, op != "get" && op != "list", errInjected
		}
		return false, false, nil
	}
	old := s // a zombie
	for range 60 {
		if r.IntN(4) == 0 {
			old, s = s, k.sink(t, b)
		}
		if r.IntN(4) == 0 { // it wakes up, and may be told that it was replaced
			if old.state != nil {
				_, _ = old.Write(t.Context(), h.batch(old.state.Number, min(h.last, old.state.Number+1+uint64(r.IntN(9)))))
			}
		}
		_ = (&engine{h, r, s}).run(t.Context(), h.last)
	}
	b.fail = nil
	s = k.sink(t, b)
	if err := (&engine{h, r, s}).run(t.Context(), h.last); err != nil {
		t.Fatal(err)
	}
	b.arrive(r, true)
	h.wantAll(t, s, b, h.last)
}
