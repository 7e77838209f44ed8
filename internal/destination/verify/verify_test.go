package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/destination"
	"trackway/internal/destination/verify"
)

// source is a log.
type source struct {
	events  []destination.Event
	lost    []uint64
	pending trackway.Customer // an erasure of this customer is under way
	last    uint64            // the number of the last change; 0: that of the last event
}

func (s *source) Last() uint64 {
	if s.last == 0 {
		return s.events[len(s.events)-1].Seq
	}
	return s.last
}

func (s *source) Events(_ context.Context, low, high uint64, yield func(*destination.Event) error, lost func(uint64)) error {
	for _, seq := range s.lost {
		if seq >= low && seq < high {
			lost(seq)
		}
	}
	for i := first(s.events, low); i < len(s.events) && s.events[i].Seq < high; i++ {
		e := s.events[i]
		e.Properties = slices.Clone(e.Properties)
		if err := yield(&e); err != nil {
			return err
		}
		clear(e.Properties) // they are valid only during the call
	}
	return nil
}

func (s *source) Pending(_ string, c trackway.Customer) (bool, error) { return c == s.pending, nil }

// table is a destination that holds its events in memory, in any order and
// number.
type table struct {
	events []destination.Event
	mends  [][2]uint64
	broken error // fails what Mend should do
}

func (t *table) Events(_ context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	if !slices.IsSortedFunc(t.events, bySeq) {
		slices.SortStableFunc(t.events, bySeq)
	}
	for i := first(t.events, low); i < len(t.events) && t.events[i].Seq < high; i++ {
		e := t.events[i]
		e.Project = ""
		if !yield(&e) {
			break
		}
	}
	return nil
}

func bySeq(a, b destination.Event) int { return int(a.Seq) - int(b.Seq) }

// first returns the index of the first event from a number on.
func first(events []destination.Event, seq uint64) int {
	i, _ := slices.BinarySearchFunc(events, seq, func(e destination.Event, seq uint64) int { return int(e.Seq) - int(seq) })
	return i
}

func (t *table) Mend(_ context.Context, low, high uint64, events []destination.Event) error {
	t.mends = append(t.mends, [2]uint64{low, high})
	if t.broken != nil {
		return t.broken
	}
	t.events = append(slices.DeleteFunc(t.events, func(e destination.Event) bool { return e.Seq >= low && e.Seq < high }), events...)
	return nil
}

func (t *table) index(seq uint64) int {
	return slices.IndexFunc(t.events, func(e destination.Event) bool { return e.Seq == seq })
}

func (t *table) lose(seq uint64) { t.events = slices.Delete(t.events, t.index(seq), t.index(seq)+1) }

// event returns an event of the day 2026-11-30. From number 500 on, it is of
// the day after.
func event(seq uint64) destination.Event {
	const first = 1_796_000_000_000_000
	at := trackway.Micros(first)
	if seq >= 500 {
		at += 24 * 3600 * 1e6
	}
	return destination.Event{
		Seq: seq, Project: "demo", Customer: trackway.Customer(seq%7 + 1), Type: []string{"visit", "buy"}[seq%2], At: at, Received: at + 1,
		Properties: fmt.Appendf(nil, `{"n":%d}`, seq),
	}
}

// both returns a log with events from 1 to n, without every tenth one, and a
// destination that has the same events.
func both(n uint64) (*source, *table) {
	var s source
	for seq := uint64(1); seq <= n; seq++ {
		if seq%10 != 0 {
			s.events = append(s.events, event(seq))
		}
	}
	return &s, &table{events: slices.Clone(s.events)}
}

func run(t *testing.T, c *verify.Check, s *source, has destination.Reader) *verify.Report {
	t.Helper()
	c.Log, c.Progress = s, func(uint64) {}
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		return do(ctx, has)
	}
	r, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func found(r *verify.Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, strings.TrimSpace(fmt.Sprintln(f.Seq, f.Kind, f.Type, strings.Join(f.Fields, ","))))
	}
	return all
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s, has := both(1000)
	has.events[has.index(7)].Properties = []byte(`{"n":0.7e1}`) // as some database prints 7
	if r := run(t, &verify.Check{Through: 1000, Mend: true}, s, has); !r.Fine() || r.Log != 900 || r.Found != 900 || len(has.mends) > 0 {
		t.Errorf("got %+v, mended %v, want that all is fine", r, has.mends)
	}
	has.lose(3)
	has.lose(999)
	has.events = append(has.events, event(5), event(5), event(20), event(700))
	has.events[has.index(8)].Properties = []byte(`{"n":9}`)
	has.events[has.index(9)].At++
	has.events[has.index(9)].Received++
	has.events[has.index(11)].Customer++
	has.events[has.index(12)].Type = "Visit"
	want := []string{
		"3 missing buy", "5 doubled buy", "5 doubled buy", "8 different visit properties", "9 different buy at,received_at",
		"11 different buy customer", "12 different visit type", "20 foreign visit", "700 foreign visit", "999 missing buy",
	}
	check := &verify.Check{Through: 1000}
	r := run(t, check, s, has)
	if diff := cmp.Diff(want, found(r)); diff != "" {
		t.Error(diff)
	}
	if want := (verify.Counts{Wrong: verify.Wrong{Missing: 2, Doubled: 2, Different: 4, Foreign: 2}, Log: 900, Found: 902}); r.Counts != want || r.Fine() {
		t.Errorf("got %+v, want %+v", r.Counts, want)
	}
	sums := []verify.Sum{
		{Day: "2026-11-30", Type: "buy", Log: 250, Wrong: verify.Wrong{Missing: 1, Doubled: 2, Different: 2}},
		{Day: "2026-11-30", Type: "visit", Log: 200, Wrong: verify.Wrong{Different: 2, Foreign: 1}},
		{Day: "2026-12-01", Type: "buy", Log: 250, Wrong: verify.Wrong{Missing: 1}},
		{Day: "2026-12-01", Type: "visit", Log: 200, Wrong: verify.Wrong{Foreign: 1}},
	}
	if diff := cmp.Diff(sums, r.Sums); diff != "" {
		t.Error(diff)
	}
	check.Mend = true
	if r := run(t, check, s, has); !r.Fine() || r.Mended != 1 || r.Problems() != 10 {
		t.Errorf("after mending: %+v", r)
	}
	if r := run(t, &verify.Check{Through: 1000}, s, has); r.Problems() != 0 {
		t.Errorf("got %v after mending", found(r))
	}
}

// TestBeyondTheLog: the destination has events of the store as it was before a
// restore from a backup. The log has not reached their numbers yet. Events that
// are still to be sent are no error.
func TestBeyondTheLog(t *testing.T) {
	t.Parallel()
	s, has := both(9)
	s.last = 12
	has.events = append(has.events, event(11), event(12), event(13), event(900))
	check := &verify.Check{Through: 9}
	if diff := cmp.Diff([]string{"13 foreign buy", "900 foreign visit"}, found(run(t, check, s, has))); diff != "" {
		t.Error(diff)
	}
	check.Mend = true
	if r := run(t, check, s, has); !r.Fine() || r.Mended != 1 || len(has.events) != 11 {
		t.Errorf("got %+v and %d events", r, len(has.events))
	}
}

// TestNoFalseAlarm has values that a database cannot keep unchanged.
func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	s, has := both(9)
	s.events[3].Type, has.events[3].Type = "a\x00b", "a\uFFFDb"
	s.events[4].Properties, has.events[4].Properties = []byte(`{"a\u0000":1e300}`), []byte(`{"a\ufffd": 1`+strings.Repeat("0", 300)+`}`)
	if r := run(t, &verify.Check{Through: 9}, s, has); r.Problems() != 0 {
		t.Errorf("got %v", found(r))
	}
}

// TestBrokenProperties has properties that somebody has altered by hand, in
// a destination that keeps them as text.
func TestBrokenProperties(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{`{"n":7}x`, `{"n":7`, `{"n":7}{"n":7}`, `{"n":7,}`, ``, `{"n":7}]`, `{"n" 7}`} {
		s, has := both(9)
		has.events[has.index(7)].Properties = []byte(broken)
		if got := found(run(t, &verify.Check{Through: 9}, s, has)); len(got) != 1 || got[0] != "7 different buy properties" {
			t.Errorf("%q: got %v", broken, got)
		}
	}
}

// TestNotWrong: some differences are intended. Mending keeps events that the
// log no longer has, and does not add rejected ones.
func TestNotWrong(t *testing.T) {
	t.Parallel()
	s, has := both(60)
	has.events = append(has.events, event(20), event(20)) // expired here
	has.lose(31)
	has.events = append(has.events, event(40)) // damaged here
	s.lost, s.pending = []uint64{40, 50}, event(41).Customer
	has.events[has.index(41)].Properties = []byte(`{"n":41,"email":"x"}`)
	check := &verify.Check{After: 5, Through: 55, Expired: 25, Rejected: map[uint64]bool{31: true}}
	has.lose(4)
	has.lose(57)
	r := run(t, check, s, has)
	want := verify.Counts{Log: 45, Found: 47, Rejected: 1, Expired: 2, Pending: 1, Unreadable: 1}
	if r.Counts != want || !r.Fine() || len(r.Findings) > 0 {
		t.Errorf("got %+v with %v, want %+v", r.Counts, found(r), want)
	}
	has.lose(42)
	check.Mend = true
	if r := run(t, check, s, has); !r.Fine() || r.Mended != 1 || r.Left != 0 || r.Missing != 1 {
		t.Errorf("got %+v", r)
	}
	for seq, there := range map[uint64]bool{4: false, 20: true, 31: false, 40: true, 42: true, 57: false} {
		if got := has.index(seq) >= 0; got != there {
			t.Errorf("event %d is in the destination: %t, want %t", seq, got, there)
		}
	}
}

// TestMendFails: the report says if mending did not help.
func TestMendFails(t *testing.T) {
	t.Parallel()
	s, has := both(30)
	has.lose(7)
	c := verify.Check{Through: 30, Mend: true}
	has.broken = errors.New("read only")
	c.Log, c.Progress = s, func(uint64) {}
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		return do(ctx, has)
	}
	if _, err := c.Run(t.Context()); !errors.Is(err, has.broken) || !strings.Contains(err.Error(), "1 to 30") {
		t.Errorf("got %v", err)
	}
	if r := run(t, &c, s, idle{has}); r.Fine() || r.Left != 1 || r.Mended != 1 {
		t.Errorf("got %+v", r)
	}
}

// idle mends nothing.
type idle struct{ *table }

func (idle) Mend(context.Context, uint64, uint64, []destination.Event) error { return nil }

// TestManyRanges damages a destination with several ranges at random, and
// compares the report with a simple count.
func TestManyRanges(t *testing.T) {
	t.Parallel()
	const n = 210_000
	s, has := both(n)
	random := rand.New(rand.NewPCG(1, 2))
	var want verify.Wrong
	var kept []destination.Event
	for _, e := range has.events {
		switch random.IntN(3000) {
		case 0:
			want.Missing++
		case 1:
			want.Doubled++
			kept = append(kept, e, e)
		case 2:
			want.Different++
			e.Properties = []byte(`{}`)
			kept = append(kept, e)
		default:
			kept = append(kept, e)
		}
	}
	for seq := uint64(10); seq < n; seq += 10_000 {
		want.Foreign++
		kept = append(kept, event(seq))
	}
	has.events = kept
	var progress []uint64
	c := verify.Check{Through: n, Mend: true, Log: s, Progress: func(n uint64) { progress = append(progress, n) }}
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		return do(ctx, has)
	}
	r, err := c.Run(t.Context())
	if err != nil || r.Wrong != want || !r.Fine() {
		t.Errorf("got %+v, %v, want %+v", r.Wrong, err, want)
	}
	if diff := cmp.Diff([]uint64{100_000, 200_000, n}, progress); diff != "" {
		t.Error(diff)
	}
	if len(r.Findings) > 1000 || !slices.IsSortedFunc(r.Findings, func(a, b verify.Finding) int { return int(a.Seq) - int(b.Seq) }) {
		t.Errorf("%d findings, want 1000 at most, in order", len(r.Findings))
	}
	for _, m := range has.mends {
		if m[1]-m[0] > 30_000 {
			t.Errorf("%v is mended at once", m)
		}
	}
	if r := run(t, &verify.Check{Through: n}, s, has); r.Problems() != 0 {
		t.Errorf("after mending: %+v", r.Wrong)
	}
}

// TestDisorder: a destination that returns events in the wrong order must not
// be called complete.
func TestDisorder(t *testing.T) {
	t.Parallel()
	s, has := both(30)
	c := verify.Check{Through: 30, Log: s, Progress: func(uint64) {}}
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		return do(ctx, backwards{has})
	}
	if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("got %v", err)
	}
}

type backwards struct{ *table }

func (b backwards) Events(_ context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	for i := range b.events {
		if e := b.events[len(b.events)-1-i]; e.Seq >= low && e.Seq < high && !yield(&e) {
			break
		}
	}
	return nil
}
