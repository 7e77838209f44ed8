package clickhouse_test

import (
	"errors"
	"strings"
	"testing"

	"trackway/internal/destination"
)

// TestSharedDatabase has two destinations in one database, such as those of two
// servers with the default prefix. Their events have the same numbers.
func TestSharedDatabase(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	first := newSink(t, settingsOf(e.url(), database))
	prepare(t, first)
	writeBatch(t, first, batch(0, 5))
	d := settingsOf(e.url(), database)
	d.Name = "it's another"
	other := newSink(t, d)
	_, prepared := other.Prepare(t.Context())
	b := batch(0, 5)
	b.Store = "another"
	_, written := other.Write(t.Context(), b)
	rewound := other.Rewind(t.Context(), destination.Position{Store: "another"})
	var final *destination.FinalError
	for what, err := range map[string]error{"prepare": prepared, "write": written, "rewind": rewound, "check": other.Check(t.Context())} {
		if !errors.As(err, &final) || !strings.Contains(err.Error(), `the tables of the destination "warehouse"`) {
			t.Fatalf("%s: got %v", what, err)
		}
	}
	expect(t, e, first, database, 5)
	// If the destination was only renamed, running the statements in the
	// message solves the problem.
	_, statements, _ := strings.Cut(final.Error(), "run ")
	for statement := range strings.SplitSeq(statements, "; ") {
		e.query("%s", statement+" SETTINGS mutations_sync = 2")
	}
	if got := prepare(t, other); got != (destination.Position{Store: store, Number: 5}) {
		t.Errorf("got position %v", got)
	}
	writeBatch(t, other, batch(5, 10))
	expect(t, e, other, database, 10)
}
