package rates

import (
	"encoding/json"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 10, 3, 7, 500_000_000, time.UTC)

func TestLast(t *testing.T) {
	t.Parallel()
	m := New(start)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	m.Count(at(0), Accepted, 3)
	m.Count(at(0.4), Accepted, 2) // the same second: 10:03:07
	m.Count(at(10), Accepted, 1)
	for _, test := range []struct {
		at             float64
		minute, second uint64
	}{
		{0.4, 5, 0},
		{0.6, 5, 5},
		{1.6, 5, 0},
		{10, 6, 0},
		{11, 6, 1},
		{59.4, 6, 0},
		{59.6, 1, 0},
		{69.4, 1, 0},
		{69.6, 0, 0},
		{86400, 0, 0},
	} {
		if minute, second := m.LastMinute(at(test.at), Accepted), m.LastSecond(at(test.at), Accepted); minute != test.minute || second != test.second {
			t.Errorf("after %v s: got %d and %d, want %d and %d", test.at, minute, second, test.minute, test.second)
		}
	}
	if n := m.LastMinute(at(1), Refused); n != 0 {
		t.Errorf("another kind counted %d", n)
	}
	m.Count(at(120), Accepted, 7)
	m.Count(at(59), Accepted, 100) // counted late: the word belongs to another second by now
	if n := m.LastMinute(at(120), Accepted); n != 7 {
		t.Errorf("got %d, want 7", n)
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	m := New(start)
	m.Count(start, Accepted, 5)
	m.Count(start.Add(2*time.Second), Accepted, 1)
	m.Count(start.Add(3*time.Second), Accepted, 2) // 10:03:10.5
	m.Refusal(start, "track")
	now := start.Add(23 * time.Second) // 10:03:30.5
	s := m.Hour(now, Accepted)
	last := len(s.Counts) - 1
	if want := start.Truncate(10 * time.Second).Add(30*time.Second - time.Hour); len(s.Counts) != 360 || !s.Start.Equal(want) || s.Step != 10*time.Second {
		t.Errorf("got %d steps of %v from %v, want 360 of 10 s from %v", len(s.Counts), s.Step, s.Start, want)
	}
	if got := s.Counts[last-3:]; got[0] != -1 || got[1] != 6 || got[2] != 2 || got[3] != 0 {
		t.Errorf("got %v, want what is not known, 6, 2, 0", got)
	}
	text, err := json.Marshal(s.Counts[last-3:])
	if err != nil || string(text) != "[null,6,2,0]" {
		t.Errorf("got %s, %v", text, err)
	}
	day := m.Day(start.Add(25*time.Hour), Accepted)
	if len(day.Counts) != 288 || day.Counts[0] != 0 || day.Step != 5*time.Minute {
		t.Errorf("a day on: %d, first %d", len(day.Counts), day.Counts[0])
	}
	if day = m.Day(start.Add(5*time.Minute), Accepted); day.Counts[287] != 8 || day.Counts[286] != -1 {
		t.Errorf("got %v", day.Counts[286:])
	}
	if got := m.Refusals(now, "track").Counts[last-2:]; got[0] != 1 || got[1] != 0 {
		t.Errorf("refusals: got %v", got)
	}
	if got := m.Refusals(now, "grid").Counts[last-3:]; got[0] != -1 || got[1] != 0 {
		t.Errorf("refusals of a policy that refused nobody: got %v", got)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	m := New(start)
	const workers, each = 8, 5000
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range each {
				m.Count(start.Add(time.Duration(i)*time.Millisecond), Accepted, 1)
				m.Refusal(start, "p")
			}
		})
	}
	all.Wait()
	if n := m.LastMinute(start.Add(10*time.Second), Accepted); n != workers*each {
		t.Errorf("got %d, want %d", n, workers*each)
	}
	if n := m.Refusals(start.Add(10*time.Second), "p").Counts[359]; n != workers*each {
		t.Errorf("got %d refusals, want %d", n, workers*each)
	}
}

func BenchmarkCount(b *testing.B) {
	m := New(start)
	for i := range b.N {
		m.Count(start.Add(time.Duration(i)*time.Microsecond), Accepted, 1)
	}
}
