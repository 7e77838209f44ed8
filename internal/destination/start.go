package destination

import (
	"fmt"
	"sort"
	"strconv"

	"trackway"
	"trackway/internal/iso8601"
	"trackway/internal/query"
)

// startAt returns the number of the change after which a destination begins.
// start is beginning, now, a number, or a time. With a time, the first event is
// the first one that was received at that time or later. Cost with a time: a
// search in the log, in some dozens of steps.
func startAt(s Store, start string) (uint64, error) {
	synced := s.Synced()
	switch start {
	case "beginning":
		return 0, nil
	case "now":
		return synced, nil
	}
	if n, err := strconv.ParseUint(start, 10, 64); err == nil {
		if n > synced {
			return 0, fmt.Errorf("the store has no change %d yet, only %d", n, synced)
		}
		return n, nil
	}
	at, ok := iso8601.Parse(start)
	if !ok {
		return 0, fmt.Errorf("%q must be beginning, now, the number of a change, or a time such as 2027-01-01T12:00:00Z", start)
	}
	var failed error
	n := sort.Search(int(synced), func(i int) bool {
		received, err := receivedAfter(s, uint64(i))
		if err != nil {
			failed = err
		}
		return received == 0 || received >= at
	})
	return uint64(n), failed
}

// receivedAfter returns when the first event after a number was received, or 0
// if no event follows.
func receivedAfter(s Store, number uint64) (at trackway.Micros, err error) {
	v := s.Snapshot()
	defer func() { _ = v.Close() }() // what was read is read
	lost := func(uint64, error) {}   // the store has noted it
	err = v.Log(query.LogRange{First: number + 1, Lost: lost}, func(e *trackway.Event) bool {
		at = e.Received
		return false
	})
	return at, err
}
