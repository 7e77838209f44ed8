package logstore

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"
)

// TestClean: no file holds a removed entry, and the others are still there.
func TestClean(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	const last, through = 60, 30
	text := func(i uint64) string { return fmt.Sprintf("secret-%03d.", i) }
	for i := uint64(1); i <= last; i++ {
		if err := s.StoreLogs([]*hraft.Log{{Index: i, Term: 1, Type: hraft.LogCommand, Data: []byte(text(i))}}); err != nil {
			t.Fatal(err)
		}
		if i == last/2 {
			if err := s.next(); err != nil { // so that some are in another segment
				t.Fatal(err)
			}
		}
	}
	// Some have become others since.
	if err := s.DeleteRange(55, last); err != nil {
		t.Fatal(err)
	}
	for i := uint64(55); i <= last; i++ {
		if err := s.StoreLog(&hraft.Log{Index: i, Term: 2, Type: hraft.LogCommand, Data: []byte("other")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetSnapshot(Snapshot{Index: 40, Term: 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, there is nothing to remove
		if err := s.Clean(t.Context(), through); err != nil {
			t.Fatal(err)
		}
		if s.reader.file != nil && s.reader.number < s.oldest {
			t.Error("a removed file is open, and so still on the disk")
		}
		files := contents(t, fs, "raft")
		for i := uint64(1); i <= last; i++ {
			if got, want := strings.Contains(files, text(i)), i > through && i < 55; got != want {
				t.Errorf("entry %d is in the files: %t, want %t", i, got, want)
			}
		}
	}
	mustClose(t, s)
	s = mustOpen(t, fs)
	defer mustClose(t, s)
	wantEnds(t, s, through+1, last)
}

// contents returns what is in all files of a directory.
func contents(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
