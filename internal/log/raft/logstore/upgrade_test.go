package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway/internal/scale"
	"trackway/internal/store/engine"
)

// older writes the log of an older program.
func older(t *testing.T, fs vfs.FS, m *model) {
	t.Helper()
	db, err := engine.Open("raft", engine.Options{FS: fs, MemTable: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
	if err != nil {
		t.Fatal(err)
	}
	end := uint64(0)
	set := func(key, value []byte) {
		b := db.NewBatch()
		if err := errors.Join(b.LogData(db.Synced().Append(nil), nil), b.Set(key, value, nil), b.Commit(pebble.Sync)); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range m.logs {
		r := record{log: *l, before: end}
		set(binary.BigEndian.AppendUint64([]byte{tableLog}, l.Index), r.append(nil))
		if end += r.size(); i == len(m.logs)/2 {
			if err := db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	set([]byte("mCurrentTerm"), binary.BigEndian.AppendUint64(nil, m.term))
	set([]byte("m.snapshot"), fmt.Appendf(nil, `{"index":%d,"term":%d}`, m.at.Index, m.at.Term))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func olderModel() *model {
	m := &model{at: Snapshot{Index: 9, Term: 1}, term: 3}
	for i := uint64(5); i <= 60; i++ {
		m.logs = append(m.logs, entry(i, 1, 20_000/int(i)))
	}
	return m
}

// TestUpgrade: the log of an older program is taken over whole, whenever the
// program is killed or the power is cut meanwhile. If an older program is
// started then, it finds the whole log and goes on with it, or refuses to
// start. No file of the old log stays.
func TestUpgrade(t *testing.T) { //nolint:tparallel // they count together
	t.Parallel()
	m := olderModel()
	fs := vfs.NewCrashableMem()
	older(t, fs, m)
	refused, went := 0, 0
	for at := 1; ; at += scale.Of(1, 3) {
		random := rand.New(rand.NewPCG(uint64(at), 0))
		from := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random})
		cut := &cutting{FS: from, mem: from, at: at}
		wantUpgraded(t, from, cut, m)
		if cut.killed == nil {
			break // there are no more moments
		}
		for what, after := range map[string]*vfs.MemFS{"killed": cut.killed, "the power cut": cut.dark} {
			t.Run(fmt.Sprintf("%s before change %d", what, at), func(t *testing.T) {
				clone := after.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random})
				wantUpgraded(t, clone, clone, m)
				last := m.logs[len(m.logs)-1].Index
				if !goOn(t, after, last) {
					refused++
					wantUpgraded(t, after, after, m)
					return
				}
				went++
				more := *m
				more.logs = append(slices.Clone(m.logs), entry(last+1, 1, 10))
				wantUpgraded(t, after, after, &more)
			})
		}
	}
	if refused == 0 || went == 0 {
		t.Errorf("an older program refused %d times, and went on %d times", refused, went)
	}
}

// wantUpgraded opens a log through fs, which is that of mem, and wants to find
// what is in the model, and no files of an older program.
func wantUpgraded(t *testing.T, mem *vfs.MemFS, fs vfs.FS, m *model) {
	t.Helper()
	s, err := Open("raft", Options{FS: fs, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := m.difference(s); diff != "" {
		t.Fatal(diff)
	}
	mustClose(t, s)
	names, err := mem.List("")
	if err != nil || len(names) != 1 {
		t.Errorf("there are %q, %v", names, err)
	}
	names, err = mem.List("raft")
	if err != nil || !slices.ContainsFunc(names, isSegment) {
		t.Errorf("there are %q, %v", names, err)
	}
	for _, name := range names {
		if !isOurs(name) {
			t.Errorf("%s is left", name)
		}
	}
	if goOn(t, mem, 0) {
		t.Fatal("an older program opens it")
	}
}

// goOn starts an older program, which appends an entry. It wants to find the
// log up to the entry last. It returns false if the program does not start.
func goOn(t *testing.T, fs vfs.FS, last uint64) bool {
	t.Helper()
	db, err := engine.Open("raft", engine.Options{FS: fs, MemTable: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
	if err != nil {
		return false
	}
	at, before := uint64(0), uint64(0)
	err = each(db.DB, tableLog, func(key, value []byte) error {
		at = binary.BigEndian.Uint64(key)
		r, err := decode(value)
		before = r.before + r.size()
		return err
	})
	if err != nil || at != last {
		t.Fatalf("an older program finds the log up to entry %d only: %v", at, err)
	}
	r := record{log: *entry(last+1, 1, 10), before: before}
	b := db.NewBatch()
	key := binary.BigEndian.AppendUint64([]byte{tableLog}, last+1)
	if err := errors.Join(b.LogData(db.Synced().Append(nil), nil), b.Set(key, r.append(nil), nil), b.Commit(pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	return true
}

// cutting notes what there is before a certain change of a directory: after a
// kill, and after a power cut.
type cutting struct {
	vfs.FS

	mem          *vfs.MemFS
	mu           sync.Mutex // Pebble removes files in another goroutine
	n, at        int
	killed, dark *vfs.MemFS
}

func (c *cutting) change() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n == c.at {
		c.killed = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		c.dark = c.mem.CrashClone(vfs.CrashCloneCfg{})
	}
}

func (c *cutting) Rename(old, name string) error {
	c.change()
	return c.FS.Rename(old, name)
}

func (c *cutting) Remove(name string) error {
	c.change()
	return c.FS.Remove(name)
}

func (c *cutting) RemoveAll(name string) error {
	c.change()
	return c.FS.RemoveAll(name)
}

func (c *cutting) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	c.change()
	return c.FS.Create(name, category)
}

func (c *cutting) OpenDir(name string) (vfs.File, error) {
	c.change() // it is about to be synced
	return c.FS.OpenDir(name)
}

// TestUpgradeBroughtBack: a program that was killed between the two renames of
// its upgrade leaves no directory with the usual name. The log is found.
func TestUpgradeBroughtBack(t *testing.T) {
	t.Parallel()
	m := olderModel()
	fs := vfs.NewCrashableMem()
	older(t, fs, m)
	if err := errors.Join(fs.Rename("raft", "raft.older"), fs.MkdirAll("raft.upgraded", 0o700)); err != nil {
		t.Fatal(err)
	}
	wantUpgraded(t, fs, fs, m)
	if err := fs.MkdirAll("raft.older", 0o700); err != nil { // it was killed after the second one
		t.Fatal(err)
	}
	wantUpgraded(t, fs, fs, m)
}

// TestUpgradeDamaged: a damaged log of an older program is refused, and stays
// as it is.
func TestUpgradeDamaged(t *testing.T) {
	t.Parallel()
	m := olderModel()
	fs := vfs.NewMem()
	older(t, fs, m)
	names, err := fs.List("raft")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") && !strings.HasSuffix(name, ".sst") {
			continue
		}
		data := readFile(t, fs, "raft/"+name)
		for i := range 5 {
			if len(data) < 100 {
				continue
			}
			changed := append([]byte(nil), data...)
			changed[len(data)*(2*i+1)/12] ^= 4
			whole, lost := look(t, fs, "raft/"+name, changed, m)
			if lost != "" {
				t.Errorf("%s: %s", name, lost)
			} else if !whole {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("damage was noticed never")
	}
}

// TestUpgradeLater: while the disk does not say whether there is a log of an
// older program, none is begun in its place, and none is called damaged.
func TestUpgradeLater(t *testing.T) {
	t.Parallel()
	m := olderModel()
	mem := vfs.NewMem()
	older(t, mem, m)
	broken := true
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken && op.Kind == errorfs.OpList {
			broken = false
			return syscall.EMFILE
		}
		return nil
	}))
	o := Options{FS: fs, Fatal: func(err error) { t.Error(err) }}
	if _, err := Open("raft", o); !errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	s, err := Open("raft", o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := m.difference(s); diff != "" {
		t.Error(diff)
	}
	mustClose(t, s)
}
