package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway/internal/datadir/held"
	"trackway/internal/partition"
	"trackway/internal/store"
	"trackway/internal/store/backup"
)

func made(t *testing.T, dir string, n int) {
	t.Helper()
	if err := Claim(dir, n); err != nil {
		t.Fatal(err)
	}
	for part := range n {
		s := openStore(t, StoreOf(dir, part, n))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Made(dir, n); err != nil {
		t.Fatal(err)
	}
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{Cache: 1 << 20, Known: 1 << 20, MemTable: 1 << 20, Name: dir, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A data directory has the number of partitions with which it was made. With
// one, there is no trace of partitions in it.
func TestClaim(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		dir := filepath.Join(t.TempDir(), "data")
		made(t, dir, n)
		for other := 1; other <= 4; other++ {
			switch err := Claim(dir, other); {
			case other == n && err != nil:
				t.Errorf("%d: %v", n, err)
			case other != n && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("has partitions: %d, and the setting partitions is %d", n, other))):
				t.Errorf("%d claimed as %d: got %v", n, other, err)
			}
		}
		if got, err := Partitions(dir); got != n || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, n)
		}
		_, err := os.Stat(filepath.Join(dir, partitionsFile))
		if alone := n == 1; alone != os.IsNotExist(err) || !alone && err != nil {
			t.Errorf("%d: the file: %v", n, err)
		}
	}
	wrong := t.TempDir()
	for _, text := range []string{"", "1\n", "65", "three", "-2"} {
		if err := os.WriteFile(filepath.Join(wrong, partitionsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := Partitions(wrong); err == nil {
			t.Errorf("%q: got %d and no error", text, n)
		}
	}
	member := t.TempDir()
	if err := os.MkdirAll(filepath.Join(member, Partition, State), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Claim(member, 2); err == nil {
		t.Error("the data of a member was claimed for two partitions")
	}
}

// A store that is missing later is not replaced by an empty one. One that the
// first start has not made yet is made by the next.
func TestMissingStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := Claim(dir, 3); err != nil {
		t.Fatal(err)
	}
	first := openStore(t, StoreOf(dir, 0, 3)) // and then the process was killed
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Partitions(dir); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if lost, err := Salvage(dir, nil, false); len(lost) != 3 || err != nil {
		t.Errorf("got %v, %v", lost, err)
	}
	made(t, dir, 3)
	if err := Claim(dir, 3); err != nil {
		t.Fatal(err)
	}
	gone := StoreOf(dir, 1, 3)
	if err := os.Rename(gone, gone+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Claim(dir, 3); err == nil || !strings.Contains(err.Error(), gone+" is missing or empty") {
			t.Errorf("got %v", err)
		}
		if _, err := Salvage(dir, nil, false); err == nil {
			t.Error("salvage found nothing missing")
		}
		if err := os.MkdirAll(gone, 0o700); err != nil { // where its file system would be mounted
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(gone), os.Rename(gone+".away", gone), Claim(dir, 3)); err != nil {
		t.Error(err)
	}
	// a version that knows no partitions was started
	if err := openStore(t, filepath.Join(dir, Store)).Close(); err != nil {
		t.Fatal(err)
	}
	if err := Claim(dir, 3); err == nil || !strings.Contains(err.Error(), "as a version without partitions makes it") {
		t.Errorf("got %v", err)
	}
}

// back backs up n stores, as a server does.
func back(t *testing.T, dir, backups string, n int, at time.Time) {
	t.Helper()
	if err := ClaimBackups(backups, n); err != nil {
		t.Fatal(err)
	}
	for part := range n {
		s := openStore(t, StoreOf(dir, part, n))
		if _, err := backup.Make(t.Context(), s.Source(), BackupOf(backups, part, n), at, 9); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A backup of several partitions is restored as a whole or not at all.
func TestRestorePartitions(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }
	made(t, in("data"), 3)
	at := time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)
	back(t, in("data"), in("backups"), 3, at)
	back(t, in("data"), in("backups"), 3, at.Add(time.Hour))
	back(t, in("data"), in("[a-b]"), 3, at)
	if err := os.CopyFS(in("[a-b]/p01/20261129T020203.000000Z"), os.DirFS(in("backups/p01/20261129T020203.000000Z"))); err != nil {
		t.Fatal(err)
	}
	if r, err := Restore(t.Context(), in("[a-b]"), in("of the same backup")); err != nil || r.Newer != "20261129T020203.000000Z" || !r.Parts[1].At.Equal(at) {
		t.Errorf("got %+v, %v", r, err)
	}
	const first = "20261129T010203.000000Z"
	for _, from := range []string{"backups", "backups/" + first, "backups/" + first + "/"} {
		to := in(strings.ReplaceAll("to "+from, "/", "-"))
		r, err := Restore(t.Context(), in(from), to)
		if err != nil || len(r.Parts) != 3 {
			t.Fatalf("%s: %+v, %v", from, r, err)
		}
		if one := from != "backups"; one != strings.HasSuffix(r.Parts[2].Path, first) {
			t.Errorf("%s: restored %s", from, r.Parts[2].Path)
		}
		if err := Claim(to, 3); err != nil {
			t.Error(err)
		}
		if lost, err := Salvage(to, nil, false); len(lost) != 3 || lost[0] != nil || err != nil {
			t.Errorf("got %v, %v", lost, err)
		}
	}
	for _, from := range []string{"backups/p01", "backups/p01/" + first, "backups/20200101T000000.000000Z", "nothing"} {
		if _, err := Restore(t.Context(), in(from), in("none")); err == nil {
			t.Errorf("%s: got no error", from)
		}
		if _, err := os.Stat(in("none")); !os.IsNotExist(err) {
			t.Errorf("%s: something was left: %v", from, err)
		}
	}
	if err := ClaimBackups(in("backups"), 1); err == nil {
		t.Error("a store with one partition may back up there")
	}
	// a crash, when two of three parts of the second backup had their names
	if err := os.RemoveAll(in("backups/p02/20261129T020203.000000Z")); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(t.Context(), in("backups"), in("to the first"))
	for _, p := range r.Parts {
		if filepath.Base(p.Path) != first {
			t.Errorf("restored %s", p.Path)
		}
	}
	if err != nil || len(r.Parts) != 3 {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := os.RemoveAll(in("backups/p02")); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), in("backups"), in("none")); err == nil {
		t.Error("a part is missing: got no error")
	}
	if _, err := os.Stat(in("none")); !os.IsNotExist(err) {
		t.Errorf("a part is missing: something was left: %v", err)
	}
	// a crash during a restore leaves no file with the number
	if err := os.Remove(filepath.Join(in("to backups"), partitionsFile)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		if err := Claim(in("to backups"), n); err == nil || !strings.Contains(err.Error(), "a restore was interrupted") {
			t.Errorf("got %v", err)
		}
	}
}

// TestRenew: a member of a cluster gets the partitions again whose data is
// missing. A server that is no member does not.
func TestRenew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	const n = 4
	if err := Claim(dir, n); err != nil {
		t.Fatal(err)
	}
	for part := range n {
		state := filepath.Join(dir, partition.Name(part), State)
		if err := openStore(t, state).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Made(dir, n); err != nil {
		t.Fatal(err)
	}
	if gone, err := Renew(dir, n); len(gone) > 0 || err != nil {
		t.Errorf("nothing is missing: got %v, %v", gone, err)
	}
	for _, part := range []int{1, 3} {
		if err := os.RemoveAll(filepath.Join(dir, partition.Name(part))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, partition.Name(3), Log, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if gone, err := Renew(dir, n); len(gone) > 0 || err != nil || Fits(dir, n) == nil {
		t.Errorf("no member: got %v, %v", gone, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, Partition, Log, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if gone, err := Renew(dir, 3); len(gone) > 0 || err != nil {
		t.Errorf("another number of partitions: got %v, %v", gone, err)
	}
	if gone, err := Renew(dir, n); !slices.Equal(gone, []int{1, 3}) || err != nil || Fits(dir, n) != nil {
		t.Errorf("a member: got %v, %v", gone, err)
	}
	list, err := held.Read(dir, n)
	if err != nil || !list.Joins(1) || list.Joins(2) || !list.Joins(3) {
		t.Errorf("got %+v, %v", list, err)
	}
	if gone, err := Renew(dir, n); len(gone) > 0 || err != nil {
		t.Errorf("again: got %v, %v", gone, err)
	}
	// The server ends now, and the disk of p01 is mounted when it starts again.
	mounted := filepath.Join(dir, partition.Name(1), State)
	if err := openStore(t, mounted).Close(); err != nil {
		t.Fatal(err)
	}
	if err := list.Clear(dir, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mounted); err != nil {
		t.Errorf("data that was missing for a while is removed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, partition.Name(3), Log)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old log stays: %v", err)
	}
	// without the first partition, nobody knows who the others are
	if err := os.RemoveAll(filepath.Join(dir, Partition, State)); err != nil {
		t.Fatal(err)
	}
	if gone, err := Renew(dir, n); len(gone) > 0 || err != nil || Fits(dir, n) == nil {
		t.Errorf("the first partition is missing: got %v, %v", gone, err)
	}
}
