package export

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestLostEvents: an export of a damaged store contains everything that can be
// read, has a complete form, and reports what is missing.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	whole := mustRun(t, CSV, Filter{Events: true})
	s := newFake()
	s.lost = map[uint64]bool{1: true}
	var out bytes.Buffer
	table, err := New(CSV, &out, shop, Filter{Events: true})
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), s, shop, Filter{Events: true}, table)
	if lost := (*LostError)(nil); !errors.As(err, &lost) || *lost != (LostError{Events: 1, First: 1}) {
		t.Errorf("got %v, want an error that says that event 1 is lost", err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	if want := lines[0] + strings.Join(lines[2:], ""); out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
