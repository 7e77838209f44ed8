package live

import (
	"slices"
	"testing"
	"time"

	"trackway"
	"trackway/internal/partition"
)

// TestPartitions: a watcher of all projects sees the events of each log, and
// resumes in each. A watcher of a project reads its log only.
func TestPartitions(t *testing.T) {
	t.Parallel()
	runOver(t, 3, func(b bubble, logs []*fakeLog) {
		t, h := b.T, b.h
		write := func(part int, typ string, at trackway.Micros) {
			l := logs[part]
			l.write(typ, partition.Global(part, 1), 1)
			l.mu.Lock()
			l.events[len(l.events)-1].Received = at
			l.mu.Unlock()
			l.sync()
		}
		write(0, "a", 1)
		write(2, "b", 2)
		write(0, "c", 3)
		all := mustWatch(t, h, Filter{Events: true}, nil)
		times := func() int {
			logs[1].mu.Lock()
			defer logs[1].mu.Unlock()
			return logs[1].asked
		}
		settle()
		asked := times()
		one := mustWatch(t, h, Filter{Events: true, Project: partition.Global(2, 1)}, nil)
		if settle(); times() != asked {
			t.Error("the log of another partition was read")
		}
		wantTypes(t, all, "a b c")
		wantTypes(t, one, "b")
		mark := all.Start()
		if want := []uint64{0, 0, 0}; !slices.Equal(mark.Seqs, want) {
			t.Errorf("it starts at %v, want %v", mark.Seqs, want)
		}
		for _, e := range []trackway.Event{{Seq: 1, Project: 1}, {Seq: 1, Project: partition.Global(2, 1)}} { // a, b
			mark.See(&e)
		}
		write(1, "d", 4)
		wantTypes(t, all, "d")
		wantTypes(t, one, "")
		all.Close()
		write(2, "e", 5)
		wantTypes(t, one, "e")
		again := mustWatch(t, h, Filter{Events: true}, &mark)
		wantTypes(t, again, "c d e")
		late := mustWatch(t, h, Filter{Rejected: true}, nil)
		if got := late.Start(); slices.Max(got.Seqs) != 0 {
			t.Errorf("a watcher without events starts at %v", got)
		}
		// what was erased since is read again, from its own log
		write(1, "f", 6)
		settle()
		logs[1].mu.Lock()
		logs[1].events[1].Seq = 0 // gone
		logs[1].mu.Unlock()
		h.Forget(partition.Global(1, 1), nil, time.Now())
		wantTypes(t, again, "")
	})
}
