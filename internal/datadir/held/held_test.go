package held

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/partition"
)

func TestList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const partitions = 4
	read := func() *List {
		t.Helper()
		l, err := Read(dir, partitions)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := read()
	for part := range partitions {
		if !l.Has(part) || l.Joins(part) {
			t.Errorf("without a file: partition %d is not simply held", part)
		}
		for _, in := range []string{"", "destinations"} {
			if err := os.MkdirAll(filepath.Join(dir, in, partition.Name(part), "state"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Drop(2)
	l.Drop(3)
	l.Join(3)
	l.Join(1) // it is held already
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	if l = read(); !cmp.Equal(l, &List{Held: []int{1, 3}, Joining: []int{3}}) || l.Has(2) || !l.Joins(3) || l.Joins(1) {
		t.Errorf("got %+v", l)
	}
	if err := l.Clear(partitions, dir, filepath.Join(dir, "destinations")); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, pattern := range []string{"p*", "destinations/p*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, _ := filepath.Rel(dir, path)
			left = append(left, name)
		}
	}
	if diff := cmp.Diff([]string{"p00", "p01", "p03", "destinations/p00", "destinations/p01", "destinations/p03"}, left); diff != "" {
		t.Error(diff)
	}
	l.Joined(3)
	l.Drop(1)
	l.Drop(0)
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	if l = read(); !l.Has(0) || l.Has(1) || l.Joins(3) || !l.Has(3) {
		t.Errorf("got %+v", l)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir, partitions); err == nil {
		t.Error("a broken file was read")
	}
}
