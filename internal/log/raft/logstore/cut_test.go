package logstore

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway/internal/scale"
)

// TestPowerCuts: if the power is cut before any one operation of the file
// system, all that was returned is there afterwards, and the change under way
// is there as a whole or not at all.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	mem, m := vfs.NewCrashableMem(), new(model)
	halves := [2]int{}
	for cut := range scale.Of(100, 30) {
		if len(m.logs) > 50 {
			mem, m = vfs.NewCrashableMem(), new(model)
		}
		left := 1 + random.IntN(60)
		var after *vfs.MemFS
		percent := []int{0, 50, 100}[random.IntN(3)]
		before := mem
		fs := errorfs.Wrap(before, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if left--; left == 0 && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				after = before.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
			} else if left == 0 {
				left = 1 // nothing is changed by this one
			}
			return nil
		}))
		old := m.copy()
		s, err := Open("raft", Options{FS: fs, Recent: 1 << random.IntN(16), Fatal: func(err error) { panic(err) }})
		if err != nil {
			t.Fatalf("seed %d, cut %d: %v", seed, cut, err)
		}
		for after == nil {
			old = m.copy()
			if err := m.stepOrClean(s, random); err != nil {
				t.Fatalf("seed %d, cut %d: %v", seed, cut, err)
			}
		}
		mustClose(t, s)
		mem = after
		s = mustOpen(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random}))
		if diff := m.difference(s); diff == "" {
			halves[0]++
		} else if undone := old.difference(s); undone == "" {
			halves[1]++
			m = old
		} else {
			t.Fatalf("seed %d, cut %d: it has neither what was written (%s) nor what was before (%s)", seed, cut, diff, undone)
		}
		mustClose(t, s)
	}
	if halves[0] == 0 || halves[1] == 0 {
		t.Errorf("%d changes were there, and %d were not", halves[0], halves[1])
	}
}

func (m *model) copy() *model { return &model{logs: slices.Clone(m.logs), at: m.at, term: m.term} }

// stepOrClean is [model.step], or begins a segment, or cleans the log.
func (m *model) stepOrClean(s *Store, random *rand.Rand) error {
	switch random.IntN(12) {
	case 0:
		return s.next()
	case 1:
		if len(m.logs) == 0 || m.at.Index <= m.logs[0].Index {
			return nil
		}
		through := m.at.Index - 1
		first, last := m.logs[0].Index, m.last()
		if to := min(through, last-1); to >= first {
			m.logs = slices.Clone(m.logs[to-first+1:])
		}
		return s.Clean(context.Background(), through)
	}
	return m.step(s, random)
}
