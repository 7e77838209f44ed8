package backup

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
)

// other is a server from which a store is fetched. It has one table for each
// generation, and leaves out those that are in the last one.
type other struct {
	t      *testing.T
	fs     vfs.FS
	name   string
	tables int
	asked  Tables
	lies   bool // it leaves out a table that was not in the last one
}

func (o *other) fetch(dir string, last Tables) (left Tables, err error) {
	o.asked, left = last, Tables{From: o.name}
	known := map[string]File{}
	if last.From == o.name {
		for _, f := range last.Files {
			known[f.Name] = f
		}
	}
	write(o.t, o.fs, o.fs.PathJoin(dir, "MANIFEST-000001"), o.name)
	for n := range o.tables {
		name := fmt.Sprintf("%06d.sst", n)
		if f, is := known[name]; is {
			left.Files = append(left.Files, f)
		} else {
			write(o.t, o.fs, o.fs.PathJoin(dir, name), o.name+name)
		}
	}
	if o.lies {
		left.Files = append(left.Files, File{Name: "000099.sst"})
	}
	return left, nil
}

// TestFetch: what another server sends becomes a generation. Tables are shared
// with the last one only if it is of the same server.
func TestFetch(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	a, b := &other{t: t, fs: fs, name: "a"}, &other{t: t, fs: fs, name: "b"}
	src := func(o *other) Source {
		s := Source{FS: fs, Store: "one", Alone: new(sync.Mutex), Check: func(string) (uint64, int, error) { return 7, format.Unkeyed, nil }}
		if o == nil {
			s.Staging = "staging"
			s.Checkpoint = func(dir string) error {
				write(t, fs, fs.PathJoin(dir, "000000.sst"), "mine")
				return nil
			}
		} else {
			s.Staging, s.Fetch = Incoming(fs, "backups"), o.fetch
		}
		return s
	}
	write(t, fs, fs.PathJoin(Incoming(fs, "backups"), "rest"), "left by a crash")
	for i, step := range []struct {
		from         *other
		tables       int
		kept, copied int
		asked        string // the server of the tables that it is asked for
	}{
		{nil, 0, 0, 0, ""},
		{a, 1, 0, 2, ""},
		{a, 3, 1, 3, "a"},
		{b, 3, 0, 4, "a"},
		{b, 3, 3, 1, "b"},
		{nil, 0, 0, 0, ""},
		{b, 2, 0, 3, ""},
	} {
		if step.from != nil {
			step.from.tables = step.tables
		}
		made, err := Make(t.Context(), src(step.from), "backups", time.Unix(int64(i), 0), 9)
		if err != nil || made.Kept != step.kept || made.Copied != step.copied || made.Seq != 7 {
			t.Errorf("%d: got %+v, %v, want %+v", i, made, err, step)
		}
		if step.from != nil && (step.from.asked.From != step.asked || step.asked != "" && len(step.from.asked.Files) == 0) {
			t.Errorf("%d: asked for %+v", i, step.from.asked)
		}
		for n := range step.tables {
			name := fmt.Sprintf("%06d.sst", n)
			if got := read(t, fs, fs.PathJoin(made.Path, name)); got != step.from.name+name {
				t.Errorf("%d: %s is %q", i, name, got)
			}
		}
	}
	// somebody has removed a table of the last generation
	if err := fs.Remove(fs.PathJoin("backups", time.Unix(6, 0).UTC().Format(generationName), "000001.sst")); err != nil {
		t.Fatal(err)
	}
	if made, err := Make(t.Context(), src(b), "backups", time.Unix(7, 0), 9); err != nil || made.Kept != 1 || made.Copied != 2 {
		t.Errorf("got %+v, %v", made, err)
	}
	b.lies = true
	if made, err := Make(t.Context(), src(b), "backups", time.Unix(99, 0), 9); err == nil || !strings.Contains(err.Error(), "000099.sst was not sent") {
		t.Errorf("got %+v, %v", made, err)
	}
	names, err := fs.List("backups")
	if err != nil || len(names) != 9 || strings.Contains(strings.Join(names, " "), partialSuffix) {
		t.Errorf("got %q, %v", names, err)
	}
}

// TestPending: a generation has no name before it gets one, and leaves nothing
// if it gets none. Nobody else makes one meanwhile.
func TestPending(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	src := Source{
		FS: fs, Store: "one", Staging: "staging", Alone: new(sync.Mutex),
		Checkpoint: func(dir string) error { write(t, fs, fs.PathJoin(dir, "MANIFEST-000001"), "text"); return nil },
		Check:      func(string) (uint64, int, error) { return 1, format.Unkeyed, nil },
	}
	p, err := Begin(t.Context(), src, "deep/backups", time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := makeTest(t, fs, "one", 1); err != nil {
		t.Errorf("in another directory: %v", err)
	}
	if _, err := Begin(t.Context(), src, "deep/backups", time.Unix(2, 0)); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := p.End(errors.New("another one has failed")); err == nil {
		t.Error("the error is lost")
	}
	if names, err := fs.List("deep"); err == nil {
		t.Errorf("there is %q", names)
	}
	p, err = Begin(t.Context(), src, "deep/backups", time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Error(err)
	}
	b, err := p.Prune(1)
	if err = p.End(err); err != nil || fs.PathBase(b.Path) != p.Name {
		t.Errorf("got %+v, %v", b, err)
	}
	if at, err := After(fs, "deep/backups", time.Unix(0, 0)); err != nil || !at.Equal(time.Unix(1, 1000)) {
		t.Errorf("got %v, %v", at, err)
	}
}

func read(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Error(err)
	}
	return string(b)
}
