package client

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// unwritable opens a file in such a way that writing to it fails, as on a full
// disk.
func unwritable(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// If nothing but the queue has filled the disk, the queue frees its space as
// soon as its commands are settled. It does so although nothing can be written
// until then, not even the cursor.
func TestFullDiskIsGivenBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := openDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"one", "two"} {
		must(d.push([]byte(command)))
	}
	must(d.sync())
	full, first, cursor := unwritable(t, d.w.Name()), d.w, d.done.f
	d.w, d.done.f = full, unwritable(t, cursor.Name())
	must(first.Close())
	must(cursor.Close())
	if _, err := d.take(newRoom(maxCommands)); err != nil {
		t.Fatal(err)
	}
	if err := d.push([]byte("no room")); err == nil {
		t.Error("a command that is not written is taken")
	}
	if err := d.settle(); err == nil {
		t.Error("nobody hears that the queue's place cannot be noted")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "0*")); slices.Contains(left, full.Name()) || len(left) != 1 {
		t.Errorf("what is settled is still there: %q", left)
	}
	must(d.push([]byte("three")))
	if got, err := d.take(newRoom(maxCommands)); err != nil || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
	_ = d.settle() // the cursor still cannot be written
	must(d.sync())
	full, d.w = d.w, unwritable(t, d.w.Name()) // once more, with nothing to wait for
	must(full.Close())
	must(d.push([]byte("four")))
	_ = d.close()
	if d, err = openDisk(dir, false); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, d); !slices.Equal(got, []string{"four"}) {
		t.Errorf("got %q after a restart", got)
	}
	must(d.close())
}
