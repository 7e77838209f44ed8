package clickhouse_test

import (
	"strings"
	"testing"
)

// TestOlderDatabase has an operator who restores an older state of the database
// while the server is writing: the next batch would leave a gap.
func TestOlderDatabase(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	writeBatch(t, s, batch(5, 10))
	e.query("ALTER TABLE %s.events DELETE WHERE seq > 5 SETTINGS mutations_sync = 2", database)
	e.query("ALTER TABLE %s.trackway_position DELETE WHERE number > 5 SETTINGS mutations_sync = 2", database)
	if _, err := s.Write(t.Context(), batch(10, 15)); err == nil || !strings.Contains(err.Error(), "before the batch") {
		t.Errorf("got %v", err)
	}
	if p := prepare(t, s); p.Number != 5 {
		t.Errorf("got position %v", p)
	}
}
