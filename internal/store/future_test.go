package store

import (
	"fmt"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// TestUpdateAfterTheClockWasAhead: properties written while the clock was ahead
// can be overwritten when the clock is right again.
func TestUpdateAfterTheClockWasAhead(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	for _, step := range []struct {
		at, received trackway.Micros
		value, want  string
	}{
		{5000, 5000, "1", "1"}, // by a clock that is ahead
		{90, 100, "2", "1"},    // older than its receipt: it may be older than the first
		{100, 100, "3", "3"},   // now
		{99, 101, "4", "3"},
		{102, 102, "5", "5"},
	} {
		c := trackway.Command{
			Kind: trackway.UpdateCustomer, Project: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "r", Hard: true}},
			Time: step.at, Received: step.received, Properties: []trackway.Property{{Name: "p", Value: []byte(step.value)}},
		}
		mustApply(t, s, c)
		if p := mustProfile(t, s, 1); len(p.Properties) != 1 || string(p.Properties[0].Value) != step.want {
			t.Errorf("%+v: got %v", step, p.Properties)
		}
	}
}

// TestExpireFromTheFuture: an event from the future is kept no longer than one
// that happened when it was received.
func TestExpireFromTheFuture(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	for i, at := range []trackway.Micros{50, 150, trackway.MaxTime} {
		mustApply(t, s, trackway.Command{
			Kind: trackway.AddEvent, Project: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "r", Hard: true}},
			Type: fmt.Sprint("e", i), Time: at, TimeGiven: true, Received: 200,
		})
	}
	for _, step := range []struct {
		before  trackway.Micros
		removed int
	}{{50, 0}, {100, 1}, {200, 1}, {201, 1}, {1 << 60, 0}} {
		x, err := s.Expire(t.Context(), 0, 10, func(uint32, string) trackway.Micros { return step.before })
		if err != nil || x.Removed != step.removed {
			t.Errorf("before %d: removed %d, want %d; %v", step.before, x.Removed, step.removed, err)
		}
	}
}

// TestLongNamesOfMerges: names too long for an identifier are not noted for an
// erasure.
func TestLongNamesOfMerges(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	long := strings.Repeat("x", trackway.MaxIDBytes)
	mustApply(t, s, trackway.Command{
		Kind: trackway.AddEvent, Project: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "r", Hard: true}}, Type: trackway.MergeType,
		Properties: []trackway.Property{{Name: query.AbsorbedIDs, Value: []byte(`{"cookie":["` + long + `","` + long + `x"],"` + long + `x":["a"]}`)}},
	})
	noted := 0
	err := reading.Scan(s.db, []byte{format.TableFormer}, func(_, _ []byte) error {
		noted++
		return nil
	})
	if err != nil || noted != 1 {
		t.Errorf("%d identifiers are noted, want 1; %v", noted, err)
	}
}
