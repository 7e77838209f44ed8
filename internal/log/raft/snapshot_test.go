package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	hraft "github.com/hashicorp/raft"

	"trackway/internal/entry"
	"trackway/internal/log/raft/peer"
)

// fill appends events, and notes them as acknowledged.
func (l *ledger) fill(t *testing.T, log *Log, n int) {
	t.Helper()
	for range n {
		name := fmt.Sprintf("x%d", len(l.became))
		if err := log.Append(t.Context(), visit(name)); err != nil {
			t.Fatal(err)
		}
		l.became[name] = nil
	}
}

// snapshot has servers note a snapshot. It leaves few entries in their logs, so
// that any of them sends its state as the leader.
func snapshot(t *testing.T, servers ...*server) {
	t.Helper()
	for _, s := range servers {
		if err := s.log.raft.Snapshot().Error(); err != nil && !errors.Is(err, hraft.ErrNothingNewToSnapshot) {
			t.Fatal(err)
		}
	}
}

// awaitReplaced returns once a server has replaced its state so often.
func (m *storeMachine) awaitReplaced(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.replaced < n {
		m.changed.Wait()
	}
}

// TestCatchUp: a server that was away for longer than the others keep entries
// gets the state of the leader, and goes on from there, also after a power cut.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{trailing: 10})
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	l.fill(t, leader.log, 30)
	away := c.except(leader)[0]
	c.sever(away, true, c.except(away)...)
	l.fill(t, leader.log, 60)
	snapshot(t, c.except(away)...)
	l.fill(t, leader.log, 5)
	c.sever(away, false, c.except(away)...)
	away.machine.awaitReplaced(1)
	l.fill(t, away.log, 5)
	away.kill(rand.New(rand.NewPCG(1, 1)))
	away.start()
	l.fill(t, away.log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestJoin: an empty server gets the state, then the entries since, then a
// vote.
func TestJoin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{trailing: 1})
	l := ledger{became: make(map[string]error)}
	first := c.servers[0]
	l.fill(t, first.log, 50)
	snapshot(t, first)
	second := c.add()
	if second.log.ID() == first.log.ID() {
		t.Error("two servers have one id")
	}
	for _, voter := range []bool{false, true} {
		c.lead(func(l *Log) error { return l.Add(second.id, second.address, voter) })
		second.machine.awaitReplaced(1)
		l.fill(t, second.log, 5)
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestDamagedState: a state that was damaged on the way to the disk is not
// used. The leader sends it again.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{".sst", "MANIFEST-"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			damagedState(t, kind)
		})
	}
}

func damagedState(t *testing.T, kind string) {
	t.Helper()
	c := newCluster(t, 1, Options{trailing: 1})
	l := ledger{became: make(map[string]error)}
	l.fill(t, c.servers[0].log, 50)
	if err := c.servers[0].machine.s.Replica().Sync(); err != nil {
		t.Fatal(err)
	}
	snapshot(t, c.servers...)
	c.servers[0].stop() // so that there are tables
	c.servers[0].start()
	c.awaitLeader()
	second := c.add()
	var damaged atomic.Int32
	second.machine.damage = func(name string) {
		if strings.Contains(name, kind) && !strings.Contains(name, "marker") && damaged.Add(1) == 1 {
			flip(t, second.fs, name)
		}
	}
	c.lead(func(l *Log) error { return l.Add(second.id, second.address, false) })
	second.machine.awaitReplaced(1)
	if n := c.servers[0].machine.sent.Load(); n < 2 || damaged.Load() == 0 {
		t.Errorf("it was sent %d times, and %d files of the kind were received", n, damaged.Load())
	}
	l.fill(t, c.servers[0].log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// flip flips a bit in the middle of a file.
func flip(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	w, err := fs.Create(name, "test")
	if err == nil {
		_, err = w.Write(b)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotOverOtherEntries: a server that was the leader has more entries
// that nobody else has than the others wrote since. It gets a snapshot that
// ends within these entries, and drops them.
func TestSnapshotOverOtherEntries(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{trailing: 1})
	l := ledger{became: make(map[string]error)}
	old := c.awaitLeader()
	l.fill(t, old.log, 5)
	c.sever(old, true, c.except(old)...)
	for i := range 200 { // into its own log only
		e := &entry.Once{Origin: old.log.origin, Counter: old.log.nextCounter(), Entry: visit(fmt.Sprintf("never%d", i))}
		old.log.raft.Apply(entry.Append(nil, e), time.Second)
	}
	others := c.except(old)
	l.fill(t, others[0].log, 20)
	snapshot(t, others...)
	l.fill(t, others[0].log, 3)
	c.sever(old, false, others...)
	old.machine.awaitReplaced(1)
	l.fill(t, old.log, 5)
	if n := old.machine.replaced; n != 1 {
		t.Errorf("the state was replaced %d times", n)
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestStateOfAnotherLog: a state that lacks entries which the log no longer has
// is refused.
func TestStateOfAnotherLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{trailing: 1})
	l := ledger{became: make(map[string]error)}
	s := c.servers[0]
	l.fill(t, s.log, 5)
	snapshot(t, s)
	s.stop()
	empty, err := openStore(vfs.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	network := listen(t, peer.Options{})
	_, err = Open(empty, Options{FS: s.fs, Dir: logDir, Network: network})
	if err == nil || !strings.Contains(err.Error(), "not those of this log") {
		t.Errorf("got %v", err)
	}
	if err := empty.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestIdentity: the id of a server stays, and no counter comes again.
func TestIdentity(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{})
	s := c.servers[0]
	id, counter := s.log.ID(), uint64(0)
	for range 3 {
		if err := s.log.Append(t.Context(), visit("a")); err != nil {
			t.Fatal(err)
		}
		next := s.log.nextCounter()
		if s.log.ID() != id || next <= counter {
			t.Errorf("id %s and counter %d, after %s and %d", s.log.ID(), next, id, counter)
		}
		counter = next
		s.kill(rand.New(rand.NewPCG(1, 1)))
		s.start()
	}
}

// TestSwap: whenever a crash comes, the directory is the old or the new one, as
// a whole.
func TestSwap(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	kept, swapped := 0, 0
	for step := range 60 {
		mem := vfs.NewCrashableMem()
		for dir, content := range map[string]string{"data/state": "old", "data/log/incoming": "new"} {
			writeDir(t, mem, dir, content)
		}
		var ops atomic.Int32
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && int(ops.Add(1)) > step/3 {
				return errors.New("the test ends it here")
			}
			return nil
		}))
		_ = Swap(fs, "data/state", "data/log/incoming")
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
		if err := Settle(after, "data/state"); err != nil {
			t.Fatal(err)
		}
		switch got := readDir(t, after, "data/state"); got {
		case "old old old":
			kept++
		case "new new new":
			swapped++
		default:
			t.Errorf("after %d steps it is %q", step/3, got)
		}
	}
	if kept == 0 || swapped == 0 {
		t.Errorf("%d were as before, %d replaced", kept, swapped)
	}
}

func writeDir(t *testing.T, fs vfs.FS, dir, content string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		f, err := fs.Create(fs.PathJoin(dir, name), "test")
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for ; dir != "."; dir = fs.PathDir(dir) {
		if err := syncDir(fs, dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := syncDir(fs, ""); err != nil {
		t.Fatal(err)
	}
}

func readDir(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	var all [][]byte
	for _, name := range []string{"a", "b", "c"} {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return string(bytes.Join(all, []byte(" ")))
}
