package store

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/store/format"
)

const (
	exitOpened = 10 // of the other process in TestInUse
	exitInUse  = 11
)

// TestMain runs the tests, or the part of a test that needs another process.
// With one argument, a directory, it opens the directory for TestInUse and
// reports the result in its exit code. With two arguments, a directory and a
// case, it runs that case of TestFailingFiles.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.NArg() == 0 {
		os.Exit(m.Run())
	}
	if flag.NArg() == 2 {
		failIn(flag.Arg(0), flag.Arg(1))
		os.Exit(0)
	}
	s, err := Open(flag.Arg(0), Options{Fatal: func(err error) { panic(err) }})
	switch {
	case errors.Is(err, ErrInUse):
		os.Exit(exitInUse)
	case err != nil:
		panic(err)
	}
	if err := s.Close(); err != nil {
		panic(err)
	}
	os.Exit(exitOpened)
}

// TestInUse: two processes never have one directory open, on the operating
// system's own files.
func TestInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if got := openElsewhere(t, dir); got != exitInUse {
		t.Errorf("another process exits with %d while the store is open, want %d", got, exitInUse)
	}
	if second, err := Open(dir, Options{}); err == nil {
		t.Error("this process opened it twice", second.Close())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := openElsewhere(t, dir); got != exitOpened {
		t.Errorf("another process exits with %d when the store is closed, want %d", got, exitOpened)
	}
}

func openElsewhere(t *testing.T, dir string) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if len(out) > 0 {
		t.Logf("%s", out)
	}
	return cmd.ProcessState.ExitCode()
}

func TestInUseInMemory(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if _, err := Open("data", Options{FS: fs}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUnknownFormat: a store of another version is refused, left as it is, and
// closed.
func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"0", "2", "5", "", "3 ", "30"} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		mustApply(t, s, event("e", 1, nil, cookie1), update(2, nil, reg1, cookie1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want := rewrite(t, fs, map[string]string{
			"mformat": version, "ncounted": "", "s\x00\x00\x00\x01\x01\x00\x00\x00\x01\x00\x00\x00\x00": "",
		})
		for range 2 { // the second attempt shows that the first has closed it
			_, err := Open("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }})
			if err == nil || errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "trackway export") {
				t.Errorf("version %q: got %v, want a refusal that says what to do", version, err)
			}
		}
		if diff := gocmp.Diff(want, rewrite(t, fs, nil)); diff != "" {
			t.Errorf("version %q: what was refused was changed: %s", version, diff)
		}
	}
}

// rewrite changes keys of a closed store, removing those without a value unless
// the key is the format's. It returns all keys and values afterwards.
func rewrite(t *testing.T, fs vfs.FS, changes map[string]string) map[string]string {
	t.Helper()
	db, err := pebble.Open("data", pebbleOptions(Options{FS: fs, Fatal: func(err error) { t.Error(err) }}))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range changes {
		change := func() error { return db.Set([]byte(key), []byte(value), pebble.Sync) }
		if value == "" && key != format.KeyFormat {
			change = func() error { return db.Delete([]byte(key), pebble.Sync) }
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	all := dump(t, &Store{machine: machine{db: db}})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOpenFails: Open returns an error for a path that is not a store, and does
// not replace it.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	if f, err := fs.Create("data", vfs.WriteCategoryUnspecified); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if s, err := Open("data", Options{FS: fs}); err == nil || !strings.Contains(err.Error(), "data") {
		t.Errorf("got %v, %v, want an error that names the directory", s, err)
	}
}

// TestFailedSync: data that the disk failed to keep is not acknowledged, and
// Fatal is called before any request gets its error.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if strings.HasSuffix(op.Path, ".log") && broken.Load() {
				return errors.New("input/output error")
			}
		default:
		}
		return nil
	}))
	ends := make(chan error, 1)
	s, err := Open("data", Options{FS: fs, Fatal: func(err error) {
		ends <- err
		select {} // it must not return: a process would end here
	}})
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged atomic.Int32
	apply := func(typ string) {
		cmds := []trackway.Command{event(typ, 1, nil, identifierOf("registered", "r"))}
		if s.Apply(cmds, make([]trackway.Result, 1)) == nil {
			acknowledged.Add(1)
		}
	}
	if apply("before"); acknowledged.Load() != 1 || len(ends) != 0 {
		t.Fatal("nothing is broken yet, and it was not acknowledged")
	}
	broken.Store(true)
	go apply("during")
	if err := <-ends; !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("got %v", err)
	}
	if n := acknowledged.Load(); n != 1 {
		t.Errorf("%d were acknowledged, want 1", n)
	}
	// The store stays open: its log cannot be closed, and a real process would
	// have ended.
}
