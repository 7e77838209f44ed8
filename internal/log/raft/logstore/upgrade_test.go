package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
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
// power is cut meanwhile. No file of it stays, and an older program does not
// take the directory for an empty one.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	m := olderModel()
	fs := vfs.NewCrashableMem()
	older(t, fs, m)
	for seed := range uint64(scale.Of(14, 5)) {
		// Each change of a directory is a moment at which the power is cut.
		random := rand.New(rand.NewPCG(seed, 0))
		from := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random})
		cut := &cutting{FS: from, mem: from, at: 1 + int(seed)*14/scale.Of(14, 5)}
		s, err := Open("raft", Options{FS: cut, Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		if diff := m.difference(s); diff != "" {
			t.Fatal(diff)
		}
		mustClose(t, s)
		if cut.after != nil {
			s = mustOpen(t, cut.after)
			if diff := m.difference(s); diff != "" {
				t.Fatalf("the power was cut at change %d of a directory: %s", seed, diff)
			}
			mustClose(t, s)
			from = cut.after
		}
		names, err := from.List("")
		if err != nil || len(names) != 1 {
			t.Errorf("there are %q, %v", names, err)
		}
		if names, err = from.List("raft"); err != nil || strings.Contains(fmt.Sprint(names), ".sst") {
			t.Errorf("there are %q, %v", names, err)
		}
		if _, err := engine.Open("raft", engine.Options{FS: from, Fatal: func(error) {}}, func(*pebble.Options) {}); err == nil {
			t.Fatal("an older program opens it")
		}
	}
}

// cutting cuts the power before a certain change of a directory.
type cutting struct {
	vfs.FS

	mem   *vfs.MemFS
	n, at int
	after *vfs.MemFS // what there is afterwards
}

func (c *cutting) change() {
	if c.n++; c.n == c.at {
		c.after = c.mem.CrashClone(vfs.CrashCloneCfg{})
	}
}

func (c *cutting) Rename(old, name string) error {
	c.change()
	err := c.FS.Rename(old, name)
	c.change()
	return err
}

func (c *cutting) RemoveAll(name string) error {
	c.change()
	err := c.FS.RemoveAll(name)
	c.change()
	return err
}

func (c *cutting) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	c.change()
	return c.FS.Create(name, category)
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
	for _, interrupted := range []bool{false, true} {
		if interrupted {
			if err := mem.Rename("raft", "raft"+oldSuffix); err != nil {
				t.Fatal(err)
			}
		}
		broken := true
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken && (op.Kind == errorfs.OpList || interrupted && op.Kind == errorfs.OpStat) {
				broken = false
				return syscall.EMFILE
			}
			return nil
		}))
		o := Options{FS: fs, Fatal: func(err error) { t.Error(err) }}
		if _, err := Open("raft", o); !errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrDamaged) {
			t.Fatalf("got %v", err)
		}
		if interrupted {
			s, err := Open("raft", o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := m.difference(s); diff != "" {
				t.Error(diff)
			}
			mustClose(t, s)
		}
	}
}
