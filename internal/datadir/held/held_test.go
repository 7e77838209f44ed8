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
	if l = read(); !cmp.Equal(l, &List{Held: []int{1, 3}, Joining: []int{3}, Gone: []int{2, 3}}) || l.Has(2) || !l.Joins(3) || l.Joins(1) {
		t.Errorf("got %+v", l)
	}
	if err := l.Clear(dir, dir, filepath.Join(dir, "destinations")); err != nil {
		t.Fatal(err)
	}
	if l = read(); !cmp.Equal(l, &List{Held: []int{1, 3}, Joining: []int{3}, Gone: []int{}}) {
		t.Errorf("what was removed would be removed again: got %+v", l)
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
	if diff := cmp.Diff([]string{"p00", "p01", "destinations/p00", "destinations/p01"}, left); diff != "" {
		t.Error(diff)
	}
	l.Again(1)
	l.Again(0) // it cannot be
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	if l = read(); !cmp.Equal(l, &List{Held: []int{3, 1}, Joining: []int{3, 1}, Gone: []int{1}}) {
		t.Errorf("a copy is to be got again: got %+v", l)
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
}

// TestOdd: nothing is removed unless the file says so. A file that says nothing
// that makes sense is refused, and data that it does not mention is held.
func TestOdd(t *testing.T) {
	t.Parallel()
	const partitions = 3
	for text, want := range map[string]*List{
		"{":             nil,
		"{}":            nil,
		"null":          nil,
		`{"held": [3]}`: nil,
		`{"held": [0]}`: nil,
		`{"held": [1], "joining": [], "gone": [7]}`: nil,
		`{"held": [1]}`: {Held: []int{1, 2}},
		`{"held": []}`:  {Held: []int{2}},
		`{"held": [], "joining": [], "gone": [2]}`: {Held: []int{}, Joining: []int{}, Gone: []int{2}},
	} {
		dir := t.TempDir()
		state := filepath.Join(dir, partition.Name(2), "state")
		if err := os.MkdirAll(state, 0o700); err != nil {
			t.Fatal(err)
		}
		empty := filepath.Join(dir, partition.Name(1), "lost+found") // as in a file system of its own
		if err := os.MkdirAll(empty, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Read(dir, partitions)
		if (want == nil) != (err != nil) || err == nil && !cmp.Equal(l, want) {
			t.Errorf("%s: got %+v, %v", text, l, err)
		}
		if err != nil {
			continue
		}
		if err := l.Clear(dir, dir); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(state); (err == nil) != l.Has(2) {
			t.Errorf("%s: what is left: %v", text, err)
		}
	}
}

// TestWhole: data that lacks partitions is of no use without the other servers.
func TestWhole(t *testing.T) {
	t.Parallel()
	const partitions = 3
	dir := t.TempDir()
	if err := Whole(dir, partitions); err != nil {
		t.Errorf("without a file: %v", err)
	}
	for text, whole := range map[string]bool{
		`{"held": [1, 2]}`: true, `{"held": [1]}`: false, `{"held": [1, 2], "joining": [2]}`: false,
	} {
		if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Whole(dir, partitions); (err == nil) != whole {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
