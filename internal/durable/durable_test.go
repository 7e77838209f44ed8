package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := Create(path, []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "one", 0o640)

	if err := Create(path, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: got %v, want fs.ErrExist", err)
	}
	wantFile(t, path, "one", 0o640)
	wantNames(t, filepath.Dir(path), "f")
}

func TestCreateOverDanglingLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := Create(path, nil, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	wantNames(t, dir, "f")
}

func TestCreateOneWinner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = Create(path, []byte(strconv.Itoa(i)), 0o600) })
	}
	wg.Wait()

	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("call %d: got %v, want fs.ErrExist", i, err)
		}
	}
	wantFile(t, path, strconv.Itoa(winner), 0o600)
	wantNames(t, filepath.Dir(path), "f")
}

func TestReplace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"one", "two"} {
		if err := Replace(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, text, 0o644)
	}
	wantNames(t, filepath.Dir(path), "f")
}

func TestNoDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "absent", "f")
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"Create": Create, "Replace": Replace} {
		if err := write(path, nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", name, err)
		}
	}
}

// The order matters: the content reaches the disk first, then the file gets its
// name, then the name reaches the disk.
func TestOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	var steps []string
	w := writer{
		place: func(from, to string) error {
			steps = append(steps, "place")
			return os.Rename(from, to)
		},
		sync: func(f *os.File) error {
			if f.Name() == dir {
				steps = append(steps, "sync directory")
				return nil
			}
			b, err := os.ReadFile(f.Name())
			steps = append(steps, "sync "+string(b))
			return err
		},
	}
	if err := w.write("test", path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sync text", "place", "sync directory"}, steps); diff != "" {
		t.Error("steps (-want +got):\n" + diff)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk")
	fail := func(*os.File) error { return errDisk }
	for name, w := range map[string]writer{
		"sync":  {place: os.Rename, sync: fail},
		"place": {place: func(_, _ string) error { return errDisk }, sync: (*os.File).Sync},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			if err := Create(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := w.write("replace", path, []byte("new"), 0o600); !errors.Is(err, errDisk) {
				t.Errorf("got %v, want %v", err, errDisk)
			}
			wantFile(t, path, "old", 0o600)
			wantNames(t, filepath.Dir(path), "f")
		})
	}
}

// If the name may not be on the disk, that is an error, although the file
// exists.
func TestDirectorySyncFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	errDisk := errors.New("disk")
	w := writer{place: os.Link, sync: func(f *os.File) error {
		if f.Name() == dir {
			return errDisk
		}
		return nil
	}}
	if err := w.write("create", filepath.Join(dir, "f"), nil, 0o600); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want %v", err, errDisk)
	}
	wantNames(t, dir, "f")
}

func wantFile(t *testing.T, path, want string, perm fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("content of %s: got %q, want %q", path, got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != perm {
		t.Errorf("mode of %s: got %v, want %v", path, info.Mode(), perm)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("names in the directory (-want +got):\n" + diff)
	}
}

// If a file is not written to its end, the old one remains, with nothing beside
// it.
func TestReplaceWith(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	errCut := errors.New("cut off")
	for i, end := range []error{nil, errCut} {
		err := ReplaceWith(path, 0o640, func(w io.Writer) error {
			for range 3 {
				if _, err := io.WriteString(w, strconv.Itoa(i)); err != nil {
					return err
				}
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Errorf("got %v, want %v", err, end)
		}
		wantFile(t, path, "000", 0o640)
		wantNames(t, filepath.Dir(path), "f")
	}
}
