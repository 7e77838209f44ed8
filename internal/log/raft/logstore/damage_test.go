package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	hraft "github.com/hashicorp/raft"

	"trackway/internal/scale"
)

// TestDamage: whichever bit of a file of a killed server is flipped, and
// wherever a file is cut off, the store does not open, or ends the process when
// it is read, or has everything that was acknowledged.
func TestDamage(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	var m model
	add := func(n int) {
		for range n {
			l := entry(m.last()+1, 1, 400)
			m.logs = append(m.logs, l)
			if err := s.StoreLog(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(30)
	if err := s.next(); err != nil {
		t.Fatal(err)
	}
	add(30)
	killed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	mustClose(t, s)
	names, err := killed.List("raft")
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	refused := make(map[string]int)
	for _, name := range names {
		data := readFile(t, killed, "raft/"+name)
		suffix := name[strings.LastIndex(name, ".")+1:]
		if suffix != "seg" {
			continue
		}
		for i := range scale.Of(100, 20) {
			changed := bytes.Clone(data)
			var what string
			if i%5 == 0 {
				at := random.IntN(len(data))
				changed, what = data[:at], fmt.Sprintf("%s cut off at %d of %d", name, at, len(data))
			} else {
				bit := random.IntN(8 * len(data))
				changed[bit/8] ^= 1 << (bit % 8)
				what = fmt.Sprintf("%s with bit %d of byte %d of %d flipped", name, bit%8, bit/8, len(data))
			}
			if whole, lost := look(t, killed, "raft/"+name, changed, &m); lost != "" {
				t.Errorf("seed %d: %s: %s", seed, what, lost)
			} else if !whole {
				refused[suffix]++
			}
		}
	}
	if refused["seg"] == 0 {
		t.Errorf("damage was noticed %v times", refused)
	}
}

// look opens a copy of fs in which one file is changed. It reports whether
// everything is there, and what is missing without anyone being told.
func look(t *testing.T, fs vfs.FS, name string, content []byte, m *model) (whole bool, lost string) {
	t.Helper()
	to := vfs.NewMem()
	if ok, err := vfs.Clone(fs, to, "raft", "raft"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	f, err := to.Create(name, "test")
	if err == nil {
		_, err = f.Write(content)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	var fatal atomic.Bool
	s, err := Open("raft", Options{FS: to, Fatal: func(error) { fatal.Store(true) }})
	if err != nil {
		return false, ""
	}
	diff := m.difference(s)
	_ = s.Close()
	if fatal.Load() {
		return false, ""
	}
	return true, diff
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTornEnd: a write that a power cut interrupted was not acknowledged, and
// does no harm.
func TestTornEnd(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	m := model{term: 0}
	for range 3 {
		m.logs = append(m.logs, entry(m.last()+1, 0, 500))
		if err := s.StoreLog(m.logs[len(m.logs)-1]); err != nil {
			t.Fatal(err)
		}
	}
	killed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	mustClose(t, s)
	names, err := killed.List("raft")
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) && name > newest {
			newest = name
		}
	}
	data := readFile(t, killed, "raft/"+newest)
	for _, torn := range [][]byte{{1}, data[:20], data[:400], data, bytes.Repeat([]byte{0xff}, 100), make([]byte, 5000)} {
		if whole, lost := look(t, killed, "raft/"+newest, append(bytes.Clone(data), torn...), &m); !whole || lost != "" {
			t.Errorf("with %d more bytes: whole %t, %s", len(torn), whole, lost)
		}
	}
}

// TestFailedWrite: the process ends before the library learns of a failed
// write.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*Store) error{
		"entries":    func(s *Store) error { return s.StoreLog(entry(4, 1, 0)) },
		"fewer":      func(s *Store) error { return s.DeleteRange(3, 3) },
		"a term":     func(s *Store) error { return s.SetUint64([]byte("CurrentTerm"), 4) },
		"a snapshot": func(s *Store) error { return s.Install(Snapshot{Index: 9}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				switch op.Kind {
				case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
					if strings.HasSuffix(op.Path, segmentSuffix) && broken.Load() {
						return errors.New("input/output error")
					}
				default:
				}
				return nil
			}))
			ends := make(chan error, 1)
			s, err := Open("raft", Options{FS: fs, Fatal: func(err error) {
				ends <- err
				select {} // the process would end here
			}})
			if err != nil {
				t.Fatal(err)
			}
			mustStore(t, s, 1, 3, 1)
			broken.Store(true)
			returned := make(chan error, 1)
			go func() { returned <- write(s) }()
			select {
			case err := <-ends:
				if !strings.Contains(err.Error(), "input/output error") {
					t.Errorf("got %v", err)
				}
			case err := <-returned:
				t.Errorf("it returned %v", err)
			}
			// The store stays open: its log cannot be closed, and a real
			// process would have ended.
		})
	}
}

// TestDamageAfterPowerCut: after a power cut, the note of how far the log was
// synced may be that of the newest segment's beginning. Then damage is noticed
// in all that was written before the last write, bit by bit.
func TestDamageAfterPowerCut(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := mustOpen(t, mem)
	var m model
	var note []byte
	for i := range 4 {
		if i == 2 {
			if err := s.next(); err != nil {
				t.Fatal(err)
			}
			note = readFile(t, mem, "raft/"+syncedName)
		}
		logs := []*hraft.Log{entry(m.last()+1, 1, 3), entry(m.last()+2, 1, 30)}
		m.logs = append(m.logs, logs...)
		if err := s.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
	before := s.active.bytes
	if err := s.SetUint64([]byte("CurrentTerm"), 5); err != nil {
		t.Fatal(err)
	}
	newest := s.active.number
	mustClose(t, s)
	f, err := mem.Create("raft/"+syncedName, "test")
	if err == nil {
		_, err = f.Write(note)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	m.term = 5
	for number := uint32(1); number <= newest; number++ {
		name := "raft/" + segmentName(number)
		data := readFile(t, mem, name)
		end := len(data)
		if number == newest {
			end = before // a flipped bit in the last write looks like a torn end
		}
		for bit := 0; bit < 8*end; bit += scale.Of(1, 7) {
			changed := bytes.Clone(data)
			changed[bit/8] ^= 1 << (bit % 8)
			if whole, lost := look(t, mem, name, changed, &m); whole || lost != "" {
				t.Fatalf("%s with bit %d of byte %d flipped: whole %t, %s", name, bit%8, bit/8, whole, lost)
			}
		}
	}
	if whole, lost := look(t, mem, "raft/"+segmentName(newest), readFile(t, mem, "raft/"+segmentName(newest)), &m); !whole || lost != "" {
		t.Errorf("without damage: whole %t, %s", whole, lost)
	}
}

// TestMissingSegment: a store that lacks a file does not open, whichever it is.
func TestMissingSegment(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := mustOpen(t, mem)
	for i := range uint64(4) {
		mustStore(t, s, 1+5*i, 5+5*i, 1)
		if err := s.next(); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	for number := uint32(1); number <= 5; number++ {
		to := vfs.NewMem()
		if ok, err := vfs.Clone(mem, to, "raft", "raft"); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := to.Remove("raft/" + segmentName(number)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("raft", Options{FS: to, Fatal: func(err error) { t.Error(err) }}); !errors.Is(err, ErrDamaged) {
			t.Errorf("without segment %d: got %v", number, err)
		}
	}
}

// TestNoFiles: if no file can be made for the next segment, the last one goes
// on. But if the next one has begun, the process ends, because an opening would
// take the last one to end there.
func TestNoFiles(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		mem := vfs.NewMem()
		var short atomic.Bool
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			create := op.Kind == errorfs.OpCreate
			if short.Load() && (create && !begun || op.Kind == errorfs.OpOpenDir && begun) {
				return &os.PathError{Op: "open", Path: op.Path, Err: syscall.EMFILE}
			}
			return nil
		}))
		var ended error
		s, err := Open("raft", Options{FS: fs, Fatal: func(err error) { ended = err }})
		if err != nil {
			t.Fatal(err)
		}
		var m model
		add := func(size int) error {
			m.logs = append(m.logs, entry(m.last()+1, 1, size))
			return s.StoreLog(m.logs[len(m.logs)-1])
		}
		if err := add(segmentBytes); err != nil {
			t.Fatal(err)
		}
		number := s.active.number
		short.Store(true)
		err = add(5)
		switch {
		case begun && (err == nil || !errors.Is(ended, syscall.EMFILE)):
			t.Errorf("the next segment has begun: got %v, and the process ends with %v", err, ended)
		case !begun && (err != nil || ended != nil || s.active.number != number):
			t.Errorf("got %v, %v, segment %d after %d", err, ended, s.active.number, number)
		}
		if begun {
			continue
		}
		short.Store(false)
		if err := add(5); err != nil || s.active.number != number+1 {
			t.Errorf("got %v, segment %d after %d", err, s.active.number, number)
		}
		mustClose(t, s)
		s = mustOpen(t, mem)
		wantEnds(t, s, 1, m.last())
		for _, l := range m.logs[1:] { // the first one is large
			wantEntry(t, s, l)
		}
		mustClose(t, s)
	}
}

// TestNoFileToRead: while no file can be opened, an entry that is not in memory
// is waited for, and an opening fails. Neither calls the log damaged.
func TestNoFileToRead(t *testing.T) {
	t.Parallel()
	var short atomic.Int64
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, segmentSuffix) && short.Add(-1) >= 0 {
			return &os.PathError{Op: "open", Path: op.Path, Err: syscall.EMFILE}
		}
		return nil
	}))
	o := Options{FS: fs, Recent: 1, Fatal: func(err error) { t.Error(err) }}
	s, err := Open("raft", o)
	if err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, 1, 3, 1)
	short.Store(3)
	wantEntry(t, s, entry(2, 1, 0))
	mustClose(t, s)
	short.Store(1)
	if _, err := Open("raft", o); !errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}
