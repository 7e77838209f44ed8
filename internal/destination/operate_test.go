package destination_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
)

func memoryConfig(name string) config.Destination {
	return config.Destination{Name: name, Kind: "memory", Start: "beginning", Rows: 100, Bytes: 1 << 20, Every: time.Millisecond}
}

// running runs a manager until stop is called.
func running(t *testing.T, m *destination.Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func reload(t *testing.T, w *destinationtest.World, m *destination.Manager, next ...config.Destination) {
	t.Helper()
	apply, _, err := m.Reload(next, w.Projects)
	if err != nil {
		t.Fatal(err)
	}
	apply()
}

// hooked is a sink with some methods replaced.
type hooked struct {
	destination.Sink

	prepare func(context.Context) (destination.Position, error)
	write   func(context.Context, *destination.Batch) ([]destination.Reject, error)
	check   func(context.Context) error
	close   func() error
}

func (s *hooked) Prepare(ctx context.Context) (destination.Position, error) {
	if s.prepare != nil {
		return s.prepare(ctx)
	}
	return s.Sink.Prepare(ctx)
}

func (s *hooked) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	if s.write != nil {
		return s.write(ctx, b)
	}
	return s.Sink.Write(ctx, b)
}

func (s *hooked) Check(ctx context.Context) error {
	if s.check != nil {
		return s.check(ctx)
	}
	return s.Sink.Check(ctx)
}

func (s *hooked) Close() error {
	if s.close != nil {
		return s.close()
	}
	return s.Sink.Close()
}

// TestPositionWhileDown: a destination that is down when the server starts
// keeps its position, even if it is then removed from the configuration. When
// it returns, it gets nothing twice, even if it keeps no position itself.
func TestPositionWhileDown(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	var down atomic.Bool
	var events atomic.Int64
	failed := make(chan struct{}, 1000)
	open := func() destination.Sink {
		s := &hooked{Sink: mem.Sink()}
		s.prepare = func(context.Context) (destination.Position, error) {
			if down.Load() {
				failed <- struct{}{}
				return destination.Position{}, errDown
			}
			return destination.Position{Number: destination.Unkept}, nil
		}
		s.write = func(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
			events.Add(int64(len(b.Events)))
			return s.Sink.Write(ctx, b)
		}
		return s
	}
	dir := t.TempDir()
	m := w.Manager(dir, memoryConfig("a"), open)
	stop := running(t, m)
	w.Act(50)
	destinationtest.CatchUp(t, w, m)
	stop()
	position, sent := m.List()[0].Position, events.Load()

	down.Store(true)
	m = w.Manager(dir, memoryConfig("a"), open)
	stop = running(t, m)
	<-failed
	<-failed
	if got := m.List()[0].Position; got != position {
		t.Errorf("while it is down, its position is %d, want %d", got, position)
	}
	reload(t, w, m)
	down.Store(false)
	reload(t, w, m, memoryConfig("a"))
	destinationtest.CatchUp(t, w, m)
	stop()
	if got := events.Load(); got != sent {
		t.Errorf("%d events were sent, and then %d more", sent, got-sent)
	}
}

// TestClose: a reload ends what an operator is doing with a sink, and closes
// the sink only after that. Nobody uses the sink afterwards.
func TestClose(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	var inside atomic.Bool
	var closed, checks atomic.Int64
	entered := make(chan struct{})
	m := w.Manager(t.TempDir(), memoryConfig("a"), func() destination.Sink {
		return &hooked{Sink: mem.Sink(), check: func(ctx context.Context) error {
			checks.Add(1)
			inside.Store(true)
			defer inside.Store(false)
			close(entered)
			<-ctx.Done()
			return context.Cause(ctx)
		}, close: func() error {
			if inside.Load() {
				t.Error("the sink was closed during another call")
			}
			closed.Add(1)
			return nil
		}}
	})
	ended := make(chan error, 2)
	go func() { ended <- m.Check(t.Context(), "a") }()
	<-entered
	go func() { ended <- m.Check(t.Context(), "a") }() // it waits, or comes too late
	reload(t, w, m)
	for range 2 {
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "reload") && !strings.Contains(err.Error(), "no such destination") {
			t.Errorf("the operator got %v, want to hear of the reload", err)
		}
	}
	if closed.Load() != 1 || checks.Load() != 1 {
		t.Errorf("%d closes, want 1; %d checks, want 1", closed.Load(), checks.Load())
	}
}

// TestRefusedReload: a reload may be refused because of a destination, or
// dropped for another reason. New destinations then leave nothing open, and no
// cursor that keeps events. The old destinations continue.
func TestRefusedReload(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var opened, closed atomic.Int64
	m, err := destination.New(destination.Options{
		Dir: t.TempDir(), Store: w.Store, Log: slog.New(slog.DiscardHandler),
		Open: func(d config.Destination) (destination.Sink, error) {
			if d.Name == "z" {
				return nil, errors.New("refused")
			}
			opened.Add(1)
			return &hooked{Sink: new(destinationtest.Memory).Sink(), close: func() error { closed.Add(1); return nil }}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	old := memoryConfig("old")
	reload(t, w, m, old)
	before, err := w.Store.Cursors()
	if err != nil || len(before) != 1 {
		t.Fatal(before, err)
	}
	same := func(what string) {
		t.Helper()
		if after, err := w.Store.Cursors(); !maps.Equal(after, before) || err != nil {
			t.Errorf("%s: cursors %v, want %v; %v", what, after, before, err)
		}
		if opened.Load()-closed.Load() != 1 {
			t.Errorf("%s: %d sinks were opened and %d closed, want one to stay open", what, opened.Load(), closed.Load())
		}
		if all := m.List(); len(all) != 1 || all[0].Name != "old" {
			t.Errorf("%s: got %v", what, all)
		}
	}
	if _, _, err := m.Reload([]config.Destination{old, memoryConfig("new"), memoryConfig("z")}, w.Projects); err == nil {
		t.Error("the reload was not refused")
	}
	same("refused")
	old.Rows = 7
	apply, drop, err := m.Reload([]config.Destination{old, memoryConfig("new")}, w.Projects)
	if err != nil {
		t.Fatal(err)
	}
	drop()
	apply() // too late
	same("dropped")
	apply, drop, err = m.Reload([]config.Destination{old}, w.Projects)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	drop() // too late
	same("applied")
}

// TestRewindInUse: a rewind does not wait for a verification, because pauses
// and reloads would wait for the rewind.
func TestRewindInUse(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	m := w.Manager(t.TempDir(), memoryConfig("a"), mem.Sink)
	w.Act(10)
	err := m.Use(t.Context(), "a", true, func(ctx context.Context, _ destination.Sink, _ *destination.View) error {
		if _, err := m.Rewind(ctx, "a", "beginning"); err == nil || !strings.Contains(err.Error(), "try again") {
			t.Errorf("the rewind got %v, want to be asked to try again", err)
		}
		return m.Pause("a")
	})
	if err != nil {
		t.Error(err)
	}
	if n, err := m.Rewind(t.Context(), "a", "3"); n != 3 || err != nil {
		t.Errorf("rewind: %d, %v", n, err)
	}
}

// rejecting returns a sink that rejects a row of each batch.
func rejecting(mem *destinationtest.Memory) destination.Sink {
	s := &hooked{Sink: mem.Sink()}
	s.write = func(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
		_, err := s.Sink.Write(ctx, b)
		return []destination.Reject{{Number: b.Through, Table: "events", Reason: "it never fits"}}, err
	}
	return s
}

// rejects returns how many rejects are counted, and checks that the same number
// is listed.
func rejects(t *testing.T, m *destination.Manager) (counted uint64) {
	t.Helper()
	for _, n := range m.List()[0].Rejected {
		counted += n
	}
	if all, err := m.Rejects("a"); uint64(len(all)) != counted || err != nil {
		t.Errorf("%d rejects are listed, and %d counted: %v", len(all), counted, err)
	}
	return counted
}

// TestLostAnswer: if a batch has arrived but its answer was lost, its rejects
// are still counted and listed, and its erasures are still reported as done
// later.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	var lose atomic.Bool
	mem.Fail(func(_ context.Context, point string, b *destination.Batch) error {
		if point == destinationtest.AfterWriting && len(b.Erasures) > 0 && lose.CompareAndSwap(true, false) {
			return errDown
		}
		return nil
	})
	dir, d := t.TempDir(), memoryConfig("a")
	d.Rows = 100_000
	w.Act(50)
	for len(erasures(t, w)) == 0 {
		w.Erase()
	}
	lose.Store(true)
	m := w.Manager(dir, d, func() destination.Sink { return rejecting(&mem) })
	stop := running(t, m)
	destinationtest.CatchUp(t, w, m)
	stop()
	through := map[uint64]bool{}
	for _, b := range mem.Batches() {
		through[b.Through] = true
	}
	if got := rejects(t, m); lose.Load() || got != uint64(len(through)) {
		t.Errorf("%d rejects, want one for each of %d batches", got, len(through))
	}
	state, err := os.ReadFile(filepath.Join(dir, "a", "state.json"))
	if err != nil || !strings.Contains(string(state), `"erasures":[`) {
		t.Errorf("nobody will tell the destination that the erasure is done: %s, %v", state, err)
	}
}

// TestCrashAfterWrite: if the process ends after a batch has arrived, but
// before it gets the answer, the erasures of the batch are still reported as
// done later.
func TestCrashAfterWrite(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	ctx, crash := context.WithCancel(t.Context())
	mem.Fail(func(_ context.Context, point string, b *destination.Batch) error {
		if point != destinationtest.AfterWriting || len(b.Erasures) == 0 {
			return nil
		}
		crash()
		return errDown
	})
	dir, d := t.TempDir(), memoryConfig("a")
	purchase(t, w)
	erase(t, w, purchase(t, w))
	if err := w.Manager(dir, d, mem.Sink).Run(ctx); err != nil {
		t.Error(err)
	}
	mem.Fail(nil)
	m := w.Manager(dir, d, mem.Sink)
	stop := running(t, m)
	destinationtest.CatchUp(t, w, m)
	stop()
	state, err := os.ReadFile(filepath.Join(dir, "a", "state.json"))
	if err != nil || !strings.Contains(string(state), `"erasures":[`) || len(mem.Tables().Erasures) != 1 {
		t.Errorf("nobody will tell the destination that the erasure is done: %s, %v", state, err)
	}
}

// TestTornRejects: the next reject survives a part of a line, which a crash or
// a full disk leaves, and zero bytes, which a power cut leaves.
func TestTornRejects(t *testing.T) {
	t.Parallel()
	for what, left := range map[string]string{"part": `{"number":1,"tab`, "zeros": strings.Repeat("\x00", 100_000)} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := destinationtest.NewWorld(t, 1)
			var mem destinationtest.Memory
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "a"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "a", "rejects.ndjson"), []byte(left), 0o600); err != nil {
				t.Fatal(err)
			}
			m := w.Manager(dir, memoryConfig("a"), func() destination.Sink { return rejecting(&mem) })
			w.Act(20)
			stop := running(t, m)
			destinationtest.CatchUp(t, w, m)
			stop()
			if got := rejects(t, m); got == 0 {
				t.Error("there are no rejects")
			}
		})
	}
}

// TestCountsOverReload: a destination whose configuration changes keeps its
// counts, including what was counted while the reload was prepared.
func TestCountsOverReload(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	d := memoryConfig("a")
	m := w.Manager(t.TempDir(), d, func() destination.Sink { return rejecting(&mem) })
	w.Act(20)
	stop := running(t, m)
	destinationtest.CatchUp(t, w, m)
	d.Rows = 7
	apply, _, err := m.Reload([]config.Destination{d}, w.Projects)
	if err != nil {
		t.Fatal(err)
	}
	m.Copies().Missed("a", 3)
	before := m.List()[0]
	apply()
	after := m.List()[0]
	stop()
	if after.Missed != 3 || after.Batches != before.Batches || after.Rows != before.Rows || !maps.Equal(after.Rejected, before.Rejected) || len(after.Rejected) == 0 {
		t.Errorf("got %+v, want %+v", after, before)
	}
}

// TestEmptyClaimed: a sink may record where its first batch begins before it
// writes the batch. If the write then fails, that record is a position that the
// engine accepts.
func TestEmptyClaimed(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var mem destinationtest.Memory
	once := failOnce(errDown)
	mem.Fail(func(ctx context.Context, point string, b *destination.Batch) error {
		err := once(ctx, point, b)
		if err != nil {
			mem.Place(destination.Position{Store: b.Store, Number: b.After})
		}
		return err
	})
	m := w.Manager(t.TempDir(), memoryConfig("a"), mem.Sink)
	w.Act(20)
	stop := running(t, m)
	destinationtest.CatchUp(t, w, m)
	stop()
	if got := m.List()[0].Retries; !maps.Equal(got, map[string]uint64{"other": 1}) {
		t.Errorf("got retries %v, want one", got)
	}
}

// TestReloadStopsTogether: if several destinations are removed, their running
// writes end at the same time.
func TestReloadStopsTogether(t *testing.T) {
	t.Parallel()
	const takes = 3 * time.Second
	run(t, func(b *bubble) {
		for _, m := range b.sinks {
			m.Fail(func(_ context.Context, point string, _ *destination.Batch) error {
				if point == destinationtest.BeforeWriting {
					time.Sleep(takes) //nolint:forbidigo // of a bubble
				}
				return nil
			})
		}
		b.add(300, `{}`)
		b.pass(300 * time.Millisecond) // the first 100 are being written
		begun := time.Now()
		b.configs = nil
		b.reload()
		if took := time.Since(begun); took > takes {
			b.Errorf("the reload took %s", took)
		}
		for name := range b.sinks {
			b.has(name, 100)
		}
	}, "a", "b", "c")
}

// TestHanging: a call that does not end with its context holds up neither other
// destinations, nor commands, nor a reload.
func TestHanging(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		back := make(chan struct{})
		b.sinks["away"].Fail(func(_ context.Context, point string, _ *destination.Batch) error {
			if point == destinationtest.BeforeWriting {
				<-back
			}
			return nil
		})
		b.add(10, `{}`)
		b.pass(time.Minute)
		for what, do := range map[string]func(string) error{"pause": b.manager.Pause, "resume": b.manager.Resume} {
			if err := do("away"); err == nil || !strings.Contains(err.Error(), "hangs") {
				b.Errorf("%s: got %v", what, err)
			}
		}
		b.configs = []config.Destination{b.configs[1]}
		b.configs[0].Rows = 7
		b.reload()
		b.add(10, `{}`)
		b.pass(time.Minute)
		b.has("live", 20)
		close(back)
		b.pass(time.Minute)
		b.has("away", 10)
	}, "away", "live")
}

// purchase adds an event with an email address.
func purchase(t *testing.T, w *destinationtest.World) trackway.Customer {
	t.Helper()
	cmd := trackway.Command{
		Kind: trackway.AddEvent, Project: w.Projects[0].Number, IDs: []trackway.Identifier{{Name: "registered", Value: "r1", Hard: true}}, Type: "purchase",
		Time: 1_700_000_000_000_000, Received: 1_700_000_000_000_000, Properties: []trackway.Property{{Name: "email", Value: []byte(`"jane@example.com"`)}}, Bytes: 30,
	}
	results := make([]trackway.Result, 1)
	if err := w.Store.Apply([]trackway.Command{cmd}, results); err != nil {
		t.Fatal(err)
	}
	return results[0].Customer
}

func erase(t *testing.T, w *destinationtest.World, c trackway.Customer) {
	t.Helper()
	if _, err := w.Store.Erase(w.Projects[0].Number, c, []string{"email"}, 1_700_000_001_000_000); err != nil {
		t.Fatal(err)
	}
}

func seqs(mem *destinationtest.Memory) (all []uint64) {
	for _, e := range mem.Tables().Events {
		all = append(all, e.Seq)
	}
	return all
}

// TestRewrittenBeforeStart: an erasure sends no events to a destination that
// began after them.
func TestRewrittenBeforeStart(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	purchase(t, w)
	d := memoryConfig("a")
	d.Start = "now"
	var mem destinationtest.Memory
	m := w.Manager(t.TempDir(), d, mem.Sink)
	stop := running(t, m)
	c := purchase(t, w)
	destinationtest.CatchUp(t, w, m)
	before := seqs(&mem)
	erase(t, w, c)
	destinationtest.CatchUp(t, w, m)
	stop()
	if got := seqs(&mem); len(before) != 1 || !slices.Equal(got, before) {
		t.Errorf("got events %d after the erasure, want %d", got, before)
	}
	if p := string(mem.Tables().Events[0].Properties); strings.Contains(p, "jane") {
		t.Errorf("got %s after the erasure", p)
	}
}
