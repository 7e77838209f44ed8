package main

import (
	"bytes"
	"testing"
)

// TestVariants writes the same events into every variant: all must find the same copies, hold the same log and give the same
// timelines, or their figures could not be compared.
func TestVariants(t *testing.T) {
	const events, persons = 20_000, 100
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, v)
			copies := 0
			var e event
			for i := range uint64(events) {
				e.fill(i, persons)
				duplicate, err := s.add(&e)
				if err != nil {
					t.Fatal(err)
				}
				if duplicate != resent(i) {
					t.Fatalf("event %d: duplicate = %t, want %t", i, duplicate, resent(i))
				}
				if duplicate {
					copies++
				}
			}
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
			if got, err := s.scan(1, events); err != nil || got != events-copies {
				t.Errorf("scan = %d, %v; want %d events", got, err, events-copies)
			}
			checkTimelines(t, s, sample(events, persons))
		})
	}
}

func checkTimelines(t *testing.T, s *store, persons []uint64) {
	t.Helper()
	if len(persons) == 0 {
		t.Fatal("nobody has enough events")
	}
	for _, person := range persons {
		customer, err := lookUp(s.db, appendIDKey(nil, person))
		if err != nil {
			t.Fatal(err)
		}
		bySeek, err := s.timeline(customer, false)
		if err != nil {
			t.Fatal(err)
		}
		byGet, err := s.timeline(customer, true)
		if err != nil {
			t.Fatal(err)
		}
		if bySeek != byGet || bySeek < 100*pageOfTimeline {
			t.Errorf("timeline of %d: %d bytes by iterator, %d by Get", customer, bySeek, byGet)
		}
	}
}

// TestFill checks that an event depends on its number alone: a reader makes it again to know what the writer wrote.
func TestFill(t *testing.T) {
	t.Parallel()
	var used, fresh event
	used.fill(12, 1000)
	used.fill(1234, 1000)
	fresh.fill(1234, 1000)
	if !bytes.Equal(used.props, fresh.props) || used.time != fresh.time || used.person != fresh.person {
		t.Errorf("event 1234 = %+v after another, %+v at first", used, fresh)
	}
}

func open(t *testing.T, v variant) *store {
	t.Helper()
	s, err := openStore(t.TempDir(), v, v.cacheBytes(), false, &stalls{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
