package destinationtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/canonjson"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/scale"
	"trackway/internal/sleep"
)

// Fault is a way in which a connection may be broken.
type Fault string

// The faults.
const (
	Refused    Fault = "refused"    // no connection can be made
	Unanswered Fault = "unanswered" // requests arrive, but their answers do not
	Slow       Fault = "slow"       // everything takes a second longer
)

// Partner is a destination under test. It is empty at first.
type Partner struct {
	Config config.Destination                 // the tests set batch limits and filters themselves
	Open   func() destination.Sink            // returns another sink of the same destination, as another process would
	Tables func(t *testing.T) *Tables         // reads the destination with its own tools
	Break  func(t *testing.T, f Fault) func() // breaks the connection and returns its repair; nil: not possible
	Slow   bool                               // each batch takes long, so random tests use larger ones
	Lacks  Lacks

	// LeastRows is the minimum number of rows for which the batches of Random
	// have room. Each insert into ClickHouse creates files, which are merged
	// later: it can take thousands of batches of one row, but slowly. Zero
	// means one.
	LeastRows int
}

// Lacks says what a kind of destination cannot do.
type Lacks struct {
	Customers bool // it has no table of customers, so that only events are compared
	Position  bool // it keeps no position, so that rows may come twice after a crash: see [destination.Unkept]
	Rewriting bool // events keep what an erasure removes
	Erasures  bool // it has no table of erasures
	Spelling  bool // it keeps JSON by value: see [canonjson.AppendNormal]
}

// flaky is a sink that fails at random.
type flaky struct {
	destination.Sink

	roll func(n int) bool // true once in n times
}

var errFlaky = errors.New("it fails, as the test wants it")

func (f *flaky) Prepare(ctx context.Context) (destination.Position, error) {
	if f.roll(5) {
		return destination.Position{}, errFlaky
	}
	return f.Sink.Prepare(ctx)
}

func (f *flaky) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	if f.roll(8) {
		return nil, errFlaky
	}
	rejects, err := f.Sink.Write(ctx, b)
	if err == nil && f.roll(8) {
		return nil, errFlaky // the batch has arrived
	}
	return rejects, err
}

// Random runs random worlds against a destination: commands, merges, erasures,
// failures before and after writes, restarts and rewinds. At the end, the
// destination must hold the same data as the store.
func Random(t *testing.T, open func(t *testing.T) *Partner) {
	t.Helper()
	for seed := range uint64(scale.Of(12, 4)) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			p := open(t)
			if !p.Slow {
				t.Parallel() // they wait for disks, mostly
			}
			random(t, p, seed)
		})
	}
}

func random(t *testing.T, p *Partner, seed uint64) {
	t.Helper()
	w := NewWorld(t, seed)
	d := p.Config
	d.Start, d.Rows, d.Bytes, d.Every = "beginning", 1+w.Random.IntN(200), 1+w.Random.IntN(1<<16), time.Millisecond
	const rowBytes = 1000 // or less
	d.Rows, d.Bytes = max(d.Rows, p.LeastRows), max(d.Bytes, p.LeastRows*rowBytes)
	if p.Slow {
		d.Rows, d.Bytes = d.Rows+200, d.Bytes+1<<16
	}
	choose(w, &d)
	var rolls atomic.Uint64
	roll := func(n int) bool { return mix(seed, rolls.Add(1))%uint64(n) == 0 }
	dir := t.TempDir()
	for round := range 6 {
		m := w.Manager(dir, d, func() destination.Sink { return &flaky{p.Open(), roll} })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		for range 1 + w.Random.IntN(5) {
			happen(ctx, t, w, m, !p.Lacks.Position)
		}
		if round%2 == 1 || round == 5 {
			CatchUp(t, w, m)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	got, want := p.Tables(t), w.Want(&d)
	p.Lacks.strip(got)
	p.Lacks.strip(want)
	if p.Lacks.Rewriting { // properties that were erased later may still be there
		for _, tables := range []*Tables{got, want} {
			for i := range tables.Events {
				tables.Events[i].Properties = nil
			}
		}
	}
	compare(t, got, want)
}

// happen changes the store, and may rewind the destination.
func happen(ctx context.Context, t *testing.T, w *World, m *destination.Manager, rewinds bool) {
	t.Helper()
	w.Act(w.Random.IntN(200))
	if w.Random.IntN(2) == 0 {
		w.Erase()
	}
	if w.Random.IntN(6) == 0 && rewinds {
		s := m.List()[0]
		to := strconv.FormatUint(w.Random.Uint64N(s.Position+1), 10)
		if _, err := m.Rewind(ctx, s.Name, to); err != nil && err.Error() != errFlaky.Error() {
			t.Error(err)
		}
	}
}

// choose chooses filters.
func choose(w *World, d *config.Destination) {
	switch w.Random.IntN(4) {
	case 0:
		d.Events = []string{"page_*", "it's"}
	case 1:
		d.Projects = []string{"shop"}
	case 2:
		d.Drop, d.Rename = []string{"seq"}, map[string]string{"total": "customer", "name": "zz"}
	}
}

// mix returns a number that looks random, for a seed and n.
func mix(seed, n uint64) uint64 {
	x := (seed+1)*0x9e3779b97f4a7c15 + n*0xbf58476d1ce4e5b9
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (l *Lacks) strip(t *Tables) {
	if l.Customers {
		t.Customers, t.IDs, t.Map = nil, nil, nil
	}
	if l.Erasures {
		t.Erasures = nil
	}
	if l.Spelling {
		for i := range t.Events {
			t.Events[i].Properties = canonjson.AppendNormal(nil, t.Events[i].Properties)
		}
		for i := range t.Customers {
			t.Customers[i].Properties = canonjson.AppendNormal(nil, t.Customers[i].Properties)
		}
	}
}

// CatchUp waits until all destinations of a manager hold what the store holds.
// It fails if there is no progress for a while.
func CatchUp(t *testing.T, w *World, m *destination.Manager) {
	t.Helper()
	const patience = 3 * time.Minute // a transaction that a failure left open in Kafka ends after one
	deadline, moved := time.Now().Add(patience), uint64(0)
	for {
		behind, sum := "", uint64(0)
		for _, s := range m.List() {
			sum += s.Position
			if s.Position < w.Store.Synced() {
				behind = fmt.Sprintf("%s is %s at %d of %d: %s", s.Name, s.State, s.Position, w.Store.Synced(), s.Error)
			}
		}
		if behind == "" {
			return
		}
		if sum > moved { // slow is not stuck
			deadline, moved = time.Now().Add(patience), sum
		}
		if time.Now().After(deadline) || sleep.For(t.Context(), time.Millisecond) != nil {
			t.Fatal(behind)
		}
	}
}
