package clickhouse

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"trackway/internal/destination"
)

// plainNumbers makes a server write 64-bit numbers without quotes, as newer
// servers do by default.
func plainNumbers() settings { return settings{"output_format_json_quote_64bit_integers": "0"} }

// errEnough ends a reading.
var errEnough = errors.New("enough")

// Events reads the events of a range as a query with FINAL sees them. If a
// number has rows with two types or times, both are passed to yield, because
// such rows do not replace each other.
func (s *Sink) Events(ctx context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	return s.read(ctx, " FINAL", low, high, yield)
}

// read reads the events of a range, with or without FINAL. An event is valid
// only during the call.
func (s *Sink) read(ctx context.Context, final string, low, high uint64, yield func(*destination.Event) bool) error {
	set := plainNumbers()
	set["use_skip_indexes_if_final"] = "1" // sound, because all rows of a key have the same number
	var e destination.Event
	err := s.client.rows(ctx, "read events", "SELECT "+eventFields+" FROM "+s.in("events")+final+" WHERE seq >= "+strconv.FormatUint(low, 10)+" AND seq < "+strconv.FormatUint(high, 10)+" ORDER BY seq FORMAT JSONCompactEachRow", set,
		func(line []byte) error {
			if err := readEvent(line, &e); err != nil {
				return err
			}
			if !yield(&e) {
				return errEnough
			}
			return nil
		})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// eventFields are the columns that [readEvent] reads.
const eventFields = "seq, project, customer, type, toUnixTimestamp64Micro(at), toUnixTimestamp64Micro(received_at), properties"

// readEvent reads an event from a row in the format JSONCompactEachRow, and
// then further columns of the row.
func readEvent(line []byte, e *destination.Event, more ...any) error {
	var properties string
	row := append([]any{&e.Seq, &e.Project, &e.Customer, &e.Type, &e.At, &e.Received, &properties}, more...)
	n := len(row)
	if err := json.Unmarshal(line, &row); err != nil || len(row) != n {
		return errAnswer
	}
	e.Properties = []byte(properties)
	return nil
}

// Mend makes the table hold exactly these events in the range. It looks at all
// rows, including those that FINAL hides.
func (s *Sink) Mend(ctx context.Context, low, high uint64, events []destination.Event) error {
	good := make([]bool, len(events)) // those that are there exactly once, and correct
	var bad []uint64
	err := s.read(ctx, "", low, high, func(e *destination.Event) bool {
		i, wanted := slices.BinarySearchFunc(events, e.Seq, compareSeq)
		if n := len(bad); n > 0 && bad[n-1] == e.Seq {
			return true
		}
		if wanted && !good[i] && same(e, &events[i]) {
			good[i] = true
			return true
		}
		if bad = append(bad, e.Seq); wanted {
			good[i] = false
		}
		return true
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(bad, mostKeys) {
		if err := s.remove(ctx, "events", "seq IN ("+list(some)+")"); err != nil {
			return err
		}
	}
	// The token must be new. Otherwise ClickHouse would take the rows for a
	// repetition of those that were just removed.
	w := &write{Sink: s, position: position{Store: rand.Text()}}
	err = w.byMonth(ctx, events, func(e *destination.Event) (uint64, bool) {
		i, _ := slices.BinarySearchFunc(events, e.Seq, compareSeq)
		return 0, !good[i]
	})
	return err
}

func compareSeq(e destination.Event, seq uint64) int {
	switch {
	case e.Seq < seq:
		return -1
	case e.Seq > seq:
		return 1
	}
	return 0
}

func same(a, b *destination.Event) bool {
	return a.Project == b.Project && a.Customer == b.Customer && a.Type == b.Type && a.At == b.At && a.Received == b.Received &&
		bytes.Equal(a.Properties, b.Properties)
}
