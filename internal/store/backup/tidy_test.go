package backup

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway/internal/store/format"
)

// makeTest backs up a store that consists of one file.
func makeTest(t *testing.T, fs vfs.FS, store string, keep int) (Backup, error) {
	t.Helper()
	return Make(t.Context(), Source{
		FS: fs, Store: store, Staging: "staging", Alone: new(sync.Mutex),
		Checkpoint: func(dir string) error {
			write(t, fs, fs.PathJoin(dir, "MANIFEST-000001"), "text")
			return nil
		},
		Check: func(string) (uint64, int, error) { return 1, format.Unkeyed, nil },
	}, "backups", time.Unix(1, 0), keep)
}

func write(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	if err := fs.MkdirAll(fs.PathDir(name), dirMode); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// TestLeavesOthersAlone: a backup removes only files in the directory that a
// backup has made.
func TestLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	foreign := []string{"film.mkv.partial", "20261122.partial", "20200101T000000.000000Z/holiday.jpg"}
	for _, name := range foreign {
		write(t, fs, fs.PathJoin("backups", name), "mine")
	}
	write(t, fs, "backups/20200101T000001.000000Z.partial/MANIFEST-000001", "left by a crash")
	for range 3 {
		if _, err := makeTest(t, fs, "one", 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range foreign {
		if _, err := fs.Stat(fs.PathJoin("backups", name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	if _, err := fs.Stat("backups/20200101T000001.000000Z.partial"); err == nil {
		t.Error("what a crash left is still there")
	}
}

// TestAnotherStoresBackups: a second store that uses the same directory is
// refused, and removes nothing.
func TestAnotherStoresBackups(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	for range 2 {
		if _, err := makeTest(t, fs, "production", 2); err != nil {
			t.Fatal(err)
		}
	}
	write(t, fs, "backups/20200101T000001.000000Z.partial/MANIFEST-000001", "being made")
	list := func() []string {
		names, err := fs.List("backups")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		return names
	}
	before := list()
	if _, err := makeTest(t, fs, "trial", 1); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want %v", err, ErrForeign)
	}
	if diff := cmp.Diff(before, list()); diff != "" {
		t.Errorf("the directory has changed: %s", diff)
	}
}

// TestEveryBitOfContents: if any bit of a list of contents has changed, a
// backup trusts neither its owner nor its time.
func TestEveryBitOfContents(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b, err := makeTest(t, fs, "one", 1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open(fs.PathJoin(b.Path, contentsName))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	// All but the last line break, which carries no information.
	for i := range 8 * (len(text) - 1) {
		flipped := bytes.Clone(text)
		flipped[i/8] ^= 1 << (i % 8)
		write(t, fs, fs.PathJoin(b.Path, contentsName), string(flipped))
		if list, err := readContents(fs, b.Path); !errors.Is(err, ErrDamaged) {
			t.Fatalf("got %+v, %v of %q", list, err, flipped)
		}
	}
	if _, err := makeTest(t, fs, "one", 1); err != nil {
		t.Errorf("the next backup: %v", err)
	}
}

// TestFailedBackupLeavesNothing: a failed backup leaves no new directory
// behind.
func TestFailedBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("mnt", dirMode); err != nil {
		t.Fatal(err)
	}
	errDisk := errors.New("the disk is full")
	_, err := Make(t.Context(), Source{FS: fs, Staging: "staging", Alone: new(sync.Mutex), Checkpoint: func(string) error { return errDisk }}, "mnt/a/b", time.Unix(1, 0), 1)
	if !errors.Is(err, errDisk) {
		t.Errorf("got %v, want %v", err, errDisk)
	}
	if names, err := fs.List("mnt"); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v, want nothing", names, err)
	}
}
