package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	hraft "github.com/hashicorp/raft"

	"trackway/internal/scale"
)

func mustOpen(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("raft", Options{FS: fs, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next begins the next segment.
func (s *Store) next() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.roll()
	return err
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// entry is an entry whose data names it.
func entry(index, term uint64, size int) *hraft.Log {
	data := fmt.Appendf(nil, "%d in %d", index, term)
	return &hraft.Log{
		Index: index, Term: term, Type: hraft.LogCommand, Data: append(data, bytes.Repeat([]byte("x"), size)...),
		AppendedAt: time.Unix(1_700_000_000, int64(index)),
	}
}

func mustStore(t *testing.T, s *Store, from, to, term uint64) {
	t.Helper()
	var logs []*hraft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, entry(i, term, 0))
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func wantEnds(t *testing.T, s *Store, first, last uint64) {
	t.Helper()
	gotFirst, err := s.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	gotLast, err := s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if gotFirst != first || gotLast != last {
		t.Errorf("got entries %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
}

func wantEntry(t *testing.T, s *Store, want *hraft.Log) {
	t.Helper()
	var got hraft.Log
	if err := s.GetLog(want.Index, &got); err != nil {
		t.Errorf("entry %d: %v", want.Index, err)
	} else if diff := cmp.Diff(*want, got); diff != "" {
		t.Errorf("entry %d (-want): %s", want.Index, diff)
	}
}

func wantNone(t *testing.T, s *Store, index uint64) {
	t.Helper()
	var got hraft.Log
	if err := s.GetLog(index, &got); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Errorf("entry %d: got %v, %v", index, got, err)
	}
}

// TestLog holds the store to what the library's own tests ask of a LogStore,
// with the entries in memory and after an opening.
func TestLog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	wantEnds(t, s, 0, 0)
	wantNone(t, s, 1)
	all := []*hraft.Log{
		{Index: 1, Term: 1, Type: hraft.LogConfiguration, Data: []byte("first")},
		{Index: 2, Term: 1, Type: hraft.LogNoop},
		{Index: 3, Term: 2, Type: hraft.LogCommand, Data: []byte("third"), Extensions: []byte("more"), AppendedAt: time.Unix(0, 1)},
		{Index: 4, Term: 2, Type: hraft.LogBarrier, Data: []byte("fourth")},
	}
	if err := s.StoreLog(all[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(all[1:]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantEnds(t, s, 1, 4)
		for _, l := range all {
			wantEntry(t, s, l)
		}
		wantNone(t, s, 0)
		wantNone(t, s, 5)
		mustClose(t, s)
		s = mustOpen(t, fs)
	}
	if err := s.StoreLogs([]*hraft.Log{entry(6, 2, 0)}); !errors.Is(err, ErrGap) {
		t.Errorf("a gap: got %v", err)
	}
	if err := s.DeleteRange(2, 3); !errors.Is(err, ErrGap) {
		t.Errorf("a hole: got %v", err)
	}
	wantEnds(t, s, 1, 4)
	mustClose(t, s)
}

// TestDeleteRange removes both ends of the log, and all of it.
func TestDeleteRange(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustStore(t, s, 1, 20, 1)
	if err := s.SetSnapshot(Snapshot{Index: 20, Term: 1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, first, last uint64 }{
		{1, 5, 6, 20},   // the beginning, as after a snapshot
		{0, 3, 6, 20},   // nothing is there
		{15, 20, 6, 14}, // the end, as after a conflict
		{14, 99, 6, 13},
		{30, 40, 6, 13},
		{6, 13, 0, 0},
		{0, 9, 0, 0},
	} {
		if err := s.DeleteRange(c.from, c.to); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wantEnds(t, s, c.first, c.last)
			for i := range uint64(22) {
				switch {
				case i >= c.first && i <= c.last && i > 0:
					wantEntry(t, s, entry(i, 1, 0))
				case i == 20: // the snapshot has its term
					wantEntry(t, s, &hraft.Log{Index: 20, Term: 1, Type: hraft.LogNoop})
				default:
					wantNone(t, s, i)
				}
			}
			mustClose(t, s)
			s = mustOpen(t, fs)
		}
	}
	mustStore(t, s, 21, 22, 3)
	wantEnds(t, s, 21, 22)
	mustClose(t, s)
}

// TestOtherEntries: after a conflict, the new entries are read, not the old
// ones that were in memory.
func TestOtherEntries(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, vfs.NewMem())
	mustStore(t, s, 1, 9, 1)
	if err := s.DeleteRange(5, 9); err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, 5, 6, 2)
	wantEntry(t, s, entry(4, 1, 0))
	wantEntry(t, s, entry(5, 2, 0))
	wantEntry(t, s, entry(6, 2, 0))
	wantNone(t, s, 7)
	mustClose(t, s)
}

func TestStable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if got, err := s.Get([]byte("none")); got != nil || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := s.GetUint64([]byte("none")); got != 0 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if err := errors.Join(s.Set([]byte("a"), []byte("b")), s.SetUint64([]byte("n"), 7), s.SetUint64([]byte("n"), 1<<63)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := s.Get([]byte("a")); string(got) != "b" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if got, err := s.GetUint64([]byte("n")); got != 1<<63 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		mustClose(t, s)
		s = mustOpen(t, fs)
	}
	mustClose(t, s)
}

// TestVoteIsOneWrite: a power cut while the library writes a vote leaves the
// previous vote, not the new term with the previous candidate.
func TestVoteIsOneWrite(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	vote := func(s *Store) string {
		term, err := s.GetUint64([]byte(keyVoteTerm))
		if err != nil {
			t.Fatal(err)
		}
		candidate, err := s.Get([]byte(keyVoteCandidate))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s in %d", candidate, term)
	}
	cut := func() *Store {
		return mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}))
	}
	for i, candidate := range []string{"a", "b"} {
		before := vote(s)
		if err := s.SetUint64([]byte(keyVoteTerm), uint64(5+i)); err != nil {
			t.Fatal(err)
		}
		after := cut()
		if got := vote(after); got != before {
			t.Errorf("half a vote is on the disk: %s, want %s", got, before)
		}
		mustClose(t, after)
		if err := s.SetUint64([]byte("CurrentTerm"), uint64(5+i)); err != nil { // as a heartbeat may do
			t.Fatal(err)
		}
		if err := s.Set([]byte(keyVoteCandidate), []byte(candidate)); err != nil {
			t.Fatal(err)
		}
		after = cut()
		if got, want := vote(after), fmt.Sprintf("%s in %d", candidate, 5+i); got != want {
			t.Errorf("got the vote %s, want %s", got, want)
		}
		mustClose(t, after)
	}
	mustClose(t, s)
}

// TestTrim: entries that a snapshot covers go until the rest is small enough,
// and no others.
func TestTrim(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ snapshot, most, first uint64 }{
		{50, 1 << 20, 1}, {50, 10_500, 1}, {50, 10_499, 2}, {50, 105, 51}, {99, 1050, 91}, {100, 0, 0}, {100, 105, 100}, {0, 0, 1}, {1, 0, 2},
	} {
		s := mustOpen(t, vfs.NewMem())
		for i := range uint64(100) {
			l := &hraft.Log{Index: i + 1, Data: make([]byte, 105)}
			if err := s.StoreLog(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SetSnapshot(Snapshot{Index: 100}); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Bytes(90); n != 1050 || err != nil {
			t.Errorf("%d bytes after 90, %v", n, err)
		}
		if err := s.Trim(c.snapshot, c.most); err != nil {
			t.Fatal(err)
		}
		last := uint64(100)
		if c.first == 0 {
			last = 0
		}
		wantEnds(t, s, c.first, last)
		mustClose(t, s)
	}
}

// TestRecentIsBounded: what stays in memory is bounded by bytes.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	s, err := Open("raft", Options{FS: vfs.NewMem(), Recent: 10_000, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 100; i++ {
		size := 500
		if i == 50 {
			size = 20_000 // on its own, it is more than is kept
		}
		if err := s.StoreLog(entry(i, 1, size)); err != nil {
			t.Fatal(err)
		}
		if n := s.recent.bytes; n > 10_000 {
			t.Fatalf("%d bytes stay after entry %d", n, i)
		}
	}
	if n := len(s.recent.logs); n < 10 {
		t.Errorf("only %d entries stay", n)
	}
	for _, i := range []uint64{1, 51, 99, 100} {
		wantEntry(t, s, entry(i, 1, 500))
	}
	mustClose(t, s)
}

// TestInstall: of the log from before a snapshot of another server, only what
// follows the snapshot stays.
func TestInstall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at                Snapshot
		first, last, term uint64
	}{
		"behind":             {Snapshot{Index: 30, Term: 2}, 0, 0, 0},
		"all of it":          {Snapshot{Index: 20, Term: 1}, 20, 20, 1},
		"the same entry":     {Snapshot{Index: 10, Term: 1}, 10, 20, 1},
		"another entry":      {Snapshot{Index: 10, Term: 2}, 10, 20, 2},
		"another last entry": {Snapshot{Index: 20, Term: 3}, 20, 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			s := mustOpen(t, fs)
			mustStore(t, s, 1, 20, 1)
			c.at.Configuration = hraft.Configuration{Servers: []hraft.Server{{ID: "a", Address: "b:1"}}}
			if err := s.Install(c.at); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wantEnds(t, s, c.first, c.last)
				if c.first > 0 {
					var got hraft.Log
					if err := s.GetLog(c.at.Index, &got); err != nil || got.Term != c.term {
						t.Errorf("the snapshot's last entry has term %d, want %d: %v", got.Term, c.term, err)
					}
					if conflict := c.term != 1; conflict != (got.Type == hraft.LogNoop) {
						t.Errorf("it is a %v", got.Type)
					}
					for i := c.first + 1; i <= c.last; i++ {
						wantEntry(t, s, entry(i, 1, 0))
					}
				}
				got, err := s.Snapshot()
				if diff := cmp.Diff(c.at, got); diff != "" || err != nil {
					t.Errorf("%v, snapshot (-want): %s", err, diff)
				}
				mustClose(t, s)
				s = mustOpen(t, fs)
			}
			// The library then removes what the snapshot covers.
			if err := s.DeleteRange(c.first, c.at.Index); err != nil {
				t.Fatal(err)
			}
			if c.last > c.at.Index {
				wantEnds(t, s, c.at.Index, c.last)
			} else {
				wantEnds(t, s, 0, 0)
			}
			mustStore(t, s, max(c.last, c.at.Index)+1, max(c.last, c.at.Index)+3, 4)
			mustClose(t, s)
		})
	}
}

// TestMissingBeginning: a log that does not follow the snapshot is damaged.
func TestMissingBeginning(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustStore(t, s, 1, 20, 1)
	if err := s.DeleteRange(1, 10); !errors.Is(err, ErrGap) {
		t.Errorf("without a snapshot: got %v", err)
	}
	for _, err := range []error{
		s.SetSnapshot(Snapshot{Index: 11, Term: 1}), s.DeleteRange(1, 10), s.SetSnapshot(Snapshot{Index: 9, Term: 1}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	if _, err := Open("raft", Options{FS: fs, Fatal: func(err error) { t.Error(err) }}); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, ErrDamaged)
	}
}

// TestCrash: what a method has returned survives any number of power cuts, and
// each write is there as a whole or not at all.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{0, 30, 70, 100} {
		t.Run(fmt.Sprintf("keep %d%%", percent), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			fs := vfs.NewCrashableMem()
			m := model{at: Snapshot{}}
			for cut := range scale.Of(40, 10) {
				s := mustOpen(t, fs)
				if diff := m.difference(s); diff != "" {
					t.Fatalf("seed %d, after cut %d: %s", seed, cut, diff)
				}
				for range 1 + random.IntN(12) {
					if err := m.step(s, random); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
				if random.IntN(3) == 0 {
					if err := s.next(); err != nil {
						t.Fatal(err)
					}
				}
				next := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
				mustClose(t, s)
				fs = next
			}
		})
	}
}

// model is what a store should hold.
type model struct {
	logs []*hraft.Log
	at   Snapshot
	term uint64
}

func (m *model) last() uint64 {
	if n := len(m.logs); n > 0 {
		return m.logs[n-1].Index
	}
	return m.at.Index
}

// step makes a random change to a store and to its model.
func (m *model) step(s *Store, random *rand.Rand) error {
	switch random.IntN(8) {
	case 0:
		m.term++
		return s.SetUint64([]byte("CurrentTerm"), m.term)
	case 1: // a conflict
		if n := len(m.logs); n > 0 {
			from := m.logs[random.IntN(n)].Index
			if from <= m.at.Index {
				return nil
			}
			last := m.last()
			m.logs = m.logs[:from-m.logs[0].Index]
			return s.DeleteRange(from, last)
		}
	case 2: // a snapshot
		if n := len(m.logs); n > 0 {
			l := m.logs[random.IntN(n)]
			if l.Index <= m.at.Index {
				return nil
			}
			m.at = Snapshot{Index: l.Index, Term: l.Term}
			return s.SetSnapshot(m.at)
		}
	case 3: // less of the log
		if n := len(m.logs); n > 0 && m.logs[0].Index <= m.at.Index {
			first := m.logs[0].Index
			to := first + random.Uint64N(m.at.Index-first+1)
			if to >= m.last() {
				return nil
			}
			m.logs = m.logs[min(to, m.at.Index-1)-first+1:]
			return s.DeleteRange(first, to)
		}
	case 4: // a snapshot of another server
		if random.IntN(3) == 0 {
			m.at = Snapshot{Index: m.last() + 1 + random.Uint64N(5), Term: m.term}
			m.logs = nil
			return s.Install(m.at)
		}
	default:
		var logs []*hraft.Log
		for range 1 + random.IntN(5) {
			logs = append(logs, entry(m.last()+1, m.term, random.IntN(3000)))
			m.logs = append(m.logs, logs[len(logs)-1])
		}
		return s.StoreLogs(logs)
	}
	return nil
}

// difference describes a difference between a store and its model.
func (m *model) difference(s *Store) string {
	at, err := s.Snapshot()
	if diff := cmp.Diff(m.at, at); diff != "" || err != nil {
		return fmt.Sprintf("snapshot: %v %s", err, diff)
	}
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != m.term || err != nil {
		return fmt.Sprintf("term %d, want %d: %v", term, m.term, err)
	}
	var first, last uint64
	if len(m.logs) > 0 {
		first, last = m.logs[0].Index, m.last()
	}
	if s.first != first || s.last != last {
		return fmt.Sprintf("entries %d to %d, want %d to %d", s.first, s.last, first, last)
	}
	bytes := uint64(0)
	for _, want := range m.logs {
		var got hraft.Log
		if err := s.GetLog(want.Index, &got); err != nil {
			return fmt.Sprintf("entry %d: %v", want.Index, err)
		}
		if diff := cmp.Diff(*want, got); diff != "" {
			return fmt.Sprintf("entry %d: %s", want.Index, diff)
		}
		bytes += uint64(len(want.Data))
	}
	if got, err := s.Bytes(0); got != bytes || err != nil {
		return fmt.Sprintf("%d bytes, want %d: %v", got, bytes, err)
	}
	return ""
}
