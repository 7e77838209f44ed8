package store

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
	"trackway/internal/store/scrub"
)

// TestCleanUpLeavesNoMarkOfItsOwn: to have a table rewritten, the clean-up
// writes one of the table's records again. If the table has no such record
// left, the clean-up deletes one of its keys again instead. If Pebble drops the
// table just before that, nothing is below the new mark, and Pebble moves it
// unchanged to the lowest level.
func TestCleanUpLeavesNoMarkOfItsOwn(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	y := &erasureStory{s: openPlain(t, fs), now: 1000}
	defer func() { _ = y.s.Close() }()
	y.tell(t, func() {})
	// It has a table of its own.
	lone := append([]byte{0xfe}, y.secret("lone")...)
	if err := y.s.db.Set(lone, nil, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	compactAll(t, y.s)
	old := y.s.db.NewSnapshot() // keeps the marks in the tables until the clean-up has seen them
	y.erase(t, fs)
	if err := y.s.db.Delete(lone, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	compactAll(t, y.s)
	pending, err := y.s.scheduled()
	if err != nil {
		t.Fatal(err)
	}

	var later *pebble.Snapshot // holds back Pebble's own compaction of the new mark
	var marks int
	c := y.s.scrubber()
	c.Touch = func(r scrub.Span) (bool, error) {
		if !bytes.Equal(r.Start, lone) {
			return y.s.touch(r)
		}
		if marks++; marks == 2 {
			if err := later.Close(); err != nil {
				return false, err
			}
		}
		if marks > 1 {
			return y.s.touch(r)
		}
		err := old.Close() // now Pebble drops the table of its own accord
		for found := []scrub.Span{r}; len(found) > 0 && err == nil; runtime.Gosched() {
			if found, err = c.Unclean(r); err == nil {
				err = t.Context().Err()
			}
		}
		later = y.s.db.NewSnapshot()
		deleted, e := y.s.touch(r)
		return deleted, errors.Join(err, e)
	}
	err = c.Clean(t.Context(), append(spansOf(pending), scrub.Span{Start: lone, End: format.After(lone)}))
	switch marks {
	case 0:
		t.Fatal("the clean-up did not look at the table")
	case 1:
		t.Error("the clean-up did not look again after its own mark")
		_ = later.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if found := traces(t, fs, y.needles...); len(found) > 0 {
		t.Errorf("after the clean-up: %v\n%s", found, y.s.db.DebugString())
	}
	mustBeConsistent(t, y.s)
}

// TestCleanUpOfManyTables: Pebble begins a new manifest when more tables have
// come and gone than there are. The clean-up gets some even if there are many
// tables.
func TestCleanUpOfManyTables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tables  int64 // of the log, which nothing puts together
		scratch byte
	}{
		"many":                          {tables: 500, scratch: format.ScratchKeys},
		"very many for what can be one": {tables: 500, scratch: 0xfe},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			y := &erasureStory{s: openPlain(t, fs), now: 1000}
			defer func() { _ = y.s.Close() }()
			y.tell(t, func() {})
			for range test.tables {
				y.crowd(t, "many", 1)
				if err := y.s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			y.erase(t, fs)
			if n := y.s.db.Metrics().Total().TablesCount; n < test.tables {
				t.Fatalf("there are only %d tables", n)
			}
			pending, err := y.s.scheduled()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(y.s.engine.Hurry())
			c := y.s.scrubber()
			c.Scratch = test.scratch
			if err := c.Clean(t.Context(), spansOf(pending)); err != nil {
				t.Fatal(err)
			}
			if found := traces(t, fs, y.needles...); len(found) > 0 {
				t.Errorf("after the clean-up: %v", found)
			}
			mustBeConsistent(t, y.s)
		})
	}
}
