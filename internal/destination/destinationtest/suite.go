package destinationtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/destination"
)

const storeID = "00112233445566778899aabbccddeeff"

// Run runs all tests against a kind of destination. open returns an empty
// destination each time.
func Run(t *testing.T, open func(t *testing.T) *Partner) {
	t.Helper()
	for name, test := range map[string]func(*subject){
		"nothing":             testNothing,
		"the same batch":      testSameBatch,
		"other borders":       testOtherBorders,
		"newer states":        testNewerStates,
		"customers":           testCustomers,
		"rewritten events":    testRewritten,
		"erasures":            testErasures,
		"check":               testCheck,
		"awkward values":      testAwkward,
		"a large batch":       testLarge,
		"two processes":       testTwoProcesses,
		"an ended context":    testEnded,
		"a broken connection": testBroken,
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			s := &subject{T: t, Partner: p}
			s.sink = s.another()
			test(s)
		})
	}
	t.Run("random", func(t *testing.T) { Random(t, open) })
}

// subject is a destination together with its expected content.
type subject struct {
	*testing.T
	*Partner

	sink destination.Sink
	want Tables
}

// another returns a new sink, as another process would create it.
func (s *subject) another() destination.Sink {
	sink := s.Open()
	s.Cleanup(func() {
		if err := sink.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	})
	return sink
}

// restart continues with a new sink, and prepares it.
func (s *subject) restart() {
	s.Helper()
	if err := s.sink.Close(); err != nil {
		s.Errorf("close: %v", err)
	}
	s.sink = s.another()
	s.prepare()
}

func (s *subject) prepare() destination.Position {
	s.Helper()
	p, err := s.sink.Prepare(s.Context())
	if err != nil {
		s.Fatalf("prepare: %v", err)
	}
	return p
}

// at checks the position.
func (s *subject) at(want destination.Position) {
	s.Helper()
	got := s.prepare()
	if s.Lacks.Position {
		want = destination.Position{Number: destination.Unkept}
		got.Store = ""
	}
	if got != want {
		s.Errorf("got position %v, want %v", got, want)
	}
}

// write writes a batch, which must be accepted as a whole.
func (s *subject) write(b *destination.Batch) {
	s.Helper()
	s.mustWrite(s.sink, b)
	s.want.add(b)
}

func (s *subject) mustWrite(sink destination.Sink, b *destination.Batch) {
	s.Helper()
	rejects, err := sink.Write(s.Context(), b)
	if err != nil || len(rejects) > 0 {
		s.Fatalf("write the changes after %d up to %d: %v, rejects %v", b.After, b.Through, err, rejects)
	}
}

// same checks that the destination holds what was written.
func (s *subject) same() {
	s.Helper()
	got, want := s.Tables(s.T), s.want.clone()
	s.Lacks.strip(got)
	s.Lacks.strip(want)
	compare(s.T, got, want)
}

// event returns an event with a sequence number.
func event(seq uint64, typ, properties string) destination.Event {
	at := trackway.Micros(1_700_000_000_000_000 + seq*1_000_001)
	return destination.Event{
		Seq: seq, Project: "demo", Customer: trackway.Customer(seq%5 + 1), Type: typ, At: at, Received: at + 7, Properties: []byte(properties),
		Holder: customer(trackway.Customer(seq%5+1), seq, `{}`),
	}
}

// customer returns a customer with identifiers.
func customer(c trackway.Customer, changed uint64, properties string, ids ...string) *destination.Customer {
	row := &destination.Customer{
		Customer: c, Project: "demo", Properties: []byte(properties), Created: trackway.Micros(1_600_000_000_000_000 + c), Changed: changed,
	}
	for _, id := range ids {
		name, value, _ := strings.Cut(id, "=")
		row.IDs = append(row.IDs, trackway.Identifier{Name: name, Value: value, Hard: name == "registered"})
	}
	return row
}

// batch returns a batch of the events after one number, up to another, with
// customers.
func batch(after, through uint64, customers ...*destination.Customer) *destination.Batch {
	b := &destination.Batch{Store: storeID, After: after, Through: through}
	changed := map[uint64]bool{}
	for _, c := range customers {
		b.Customers = append(b.Customers, *c)
		changed[c.Changed] = true
	}
	for seq := after + 1; seq <= through; seq++ {
		if !changed[seq] {
			b.Events = append(b.Events, event(seq, "page_visit", fmt.Sprintf(`{"n":%d}`, seq)))
		}
	}
	return b
}

// testNothing: a new destination is empty, and it may be closed at any time.
func testNothing(s *subject) {
	s.at(destination.Position{})
	s.at(destination.Position{})
	s.same()
	unused := s.Open()
	for range 2 {
		if err := unused.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	}
}

// testSameBatch: a batch that is written again, even after a restart, is stored
// once.
func testSameBatch(s *subject) {
	s.prepare()
	first, second := batch(0, 10, customer(1, 3, `{"a":1}`, "registered=x")), batch(10, 12)
	s.write(first)
	s.at(destination.Position{Store: storeID, Number: 10})
	if s.Lacks.Position {
		s.same()
		return
	}
	s.write(first)
	s.restart()
	s.at(destination.Position{Store: storeID, Number: 10})
	s.write(first)
	s.write(second)
	s.write(second)
	s.restart()
	s.at(destination.Position{Store: storeID, Number: 12})
	s.same()
}

// testOtherBorders: after a rewind, changes come in batches with other borders,
// and in newer states.
func testOtherBorders(s *subject) {
	if s.Lacks.Position {
		s.Skip("without a position, rows come twice")
	}
	s.prepare()
	s.write(batch(0, 10, customer(1, 3, `{"a":1}`, "registered=x")))
	s.write(batch(10, 20))
	for _, to := range []uint64{0, 15} {
		if err := s.sink.Rewind(s.Context(), destination.Position{Store: storeID, Number: to}); err != nil {
			s.Fatalf("rewind: %v", err)
		}
		s.at(destination.Position{Store: storeID, Number: to})
		s.restart()
		s.at(destination.Position{Store: storeID, Number: to})
		if to == 0 {
			again := batch(0, 7)
			again.Events = append(again.Events[:2:2], again.Events[3:]...) // change 3 of customer 1 is gone
			s.write(again)
			s.write(batch(7, 13, customer(1, 12, `{"a":2}`, "registered=x", "cookie=c")))
		} else {
			s.write(batch(15, 16))
		}
	}
	s.write(batch(16, 30))
	s.at(destination.Position{Store: storeID, Number: 30})
	s.want.Events = s.want.Events[:0:0]
	for _, b := range []*destination.Batch{batch(0, 30)} {
		for _, e := range b.Events {
			if e.Seq != 3 {
				e.Holder = nil
				s.want.Events = append(s.want.Events, e)
			}
		}
	}
	s.same()
}

// testNewerStates: after a rewind, an event that is already there may come as
// an erasure has left it since, perhaps in a batch with new events. It replaces
// the old form.
func testNewerStates(s *subject) {
	if s.Lacks.Position || s.Lacks.Rewriting {
		s.Skip("it cannot delete, or keeps no position")
	}
	s.prepare()
	s.write(batch(0, 10))
	if err := s.sink.Rewind(s.Context(), destination.Position{Store: storeID, Number: 2}); err != nil {
		s.Fatalf("rewind: %v", err)
	}
	s.at(destination.Position{Store: storeID, Number: 2})
	b := batch(2, 14)
	for i := range b.Events {
		if seq := b.Events[i].Seq; seq%2 == 1 {
			b.Events[i] = event(seq, "page_visit", `{"erased":true}`)
		}
	}
	s.write(b)
	s.write(b)
	s.at(destination.Position{Store: storeID, Number: 14})
	s.same()
}

// testCustomers: a customer is there in its latest state. Identifiers that it
// lost are gone, and readers can follow merges.
func testCustomers(s *subject) {
	s.prepare()
	s.write(batch(0, 4,
		customer(1, 1, `{"name":"Ann"}`, "registered=ann", "cookie=a1", "cookie=a2"), customer(2, 2, `{}`, "cookie=b"),
		customer(3, 3, `{"x":[1,2]}`, "registered=o'neil", "cookie=\\N"), customer(4, 4, `{}`, "cookie=d")))
	absorbed := customer(4, 5, `{}`)
	absorbed.Survivor = 3
	s.write(batch(4, 6, absorbed, customer(3, 6, `{"x":[1,2],"y":null}`, "registered=o'neil", "cookie=d")))
	absorbed = customer(3, 7, `{}`)
	absorbed.Survivor = 1
	s.write(batch(6, 8, absorbed, customer(1, 8, `{"name":"Ann","x":[1,2]}`, "registered=ann", "cookie=d", "cookie=a1")))
	erased := customer(2, 9, `{"left":1}`)
	erased.Erased = true
	s.write(batch(8, 9, erased))
	s.same()
	s.restart()
	s.same()
}

// testRewritten: events that an erasure rewrote replace the stored ones, even
// in batches that do not move the position.
func testRewritten(s *subject) {
	if s.Lacks.Rewriting {
		s.Skip("it cannot delete")
	}
	s.prepare()
	s.write(batch(0, 20))
	rewritten := func(after, through uint64, seqs ...uint64) *destination.Batch {
		b := batch(after, through)
		for _, seq := range seqs {
			b.Rewritten = append(b.Rewritten, event(seq, "page_visit", `{"rewritten":true}`))
		}
		return b
	}
	s.write(rewritten(20, 20, 2, 3))
	s.write(rewritten(20, 20, 5))
	s.write(rewritten(20, 20, 2, 3))
	s.write(rewritten(20, 25, 7, 20))
	if !s.Lacks.Position {
		s.at(destination.Position{Store: storeID, Number: 25})
	}
	s.same()
	s.restart()
	s.write(rewritten(25, 25, 25))
	s.same()
}

// testErasures: an erasure is stored once, and its end replaces its beginning.
func testErasures(s *subject) {
	s.prepare()
	erased := customer(1, 2, `{}`)
	erased.Erased = true
	b := batch(0, 2, erased)
	b.Erasures = []destination.Erasure{{ID: 1, Project: "demo", Customer: 1, Asked: 1_700_000_000_000_000}, {ID: 2, Project: "demo", Customer: 1, Asked: 1_700_000_000_000_001}}
	s.write(b)
	done := &destination.Batch{Store: storeID, After: 2, Through: 2, Erasures: []destination.Erasure{
		{ID: 1, Project: "demo", Customer: 1, Asked: 1_700_000_000_000_000, Done: 1_700_000_099_000_000},
	}}
	s.write(done)
	s.write(done)
	if !s.Lacks.Position {
		s.at(destination.Position{Store: storeID, Number: 2})
	}
	s.same()
}

// testCheck: a check leaves nothing behind, and does not move the position.
func testCheck(s *subject) {
	s.prepare()
	check := func() {
		s.Helper()
		if err := s.sink.Check(s.Context()); err != nil {
			s.Errorf("check: %v", err)
		}
		s.same()
	}
	check()
	s.at(destination.Position{})
	s.write(batch(0, 3, customer(1, 3, `{}`, "cookie=c")))
	check()
	check()
	s.at(destination.Position{Store: storeID, Number: 3})
}

// testAwkward: awkward values arrive unchanged.
func testAwkward(s *subject) {
	s.prepare()
	b := &destination.Batch{Store: storeID, Through: 200}
	for i, v := range values {
		b.Events = append(b.Events, event(uint64(i+1), "it's a \"type\" \\ with\ttab", `{"a b":`+v+`,"seq":`+v+`}`))
	}
	for i, properties := range []string{
		`{}`, `{"":1}`, `{"` + strings.Repeat("n", trackway.MaxNameBytes) + `":"` + strings.Repeat("v", 100_000) + `"}`, `{"deep":` + strings.Repeat(`[`, 50) + strings.Repeat(`]`, 50) + `}`,
	} {
		b.Events = append(b.Events, event(uint64(100+i), strings.Repeat("t", trackway.MaxTypeBytes), properties))
	}
	first, last := event(110, "first", `{}`), event(111, "last", `{}`)
	first.At, last.At, last.Received = trackway.MinTime, trackway.MaxTime, trackway.MaxTime
	b.Events = append(b.Events, first, last)
	for i, v := range values {
		c := customer(trackway.Customer(i+1), uint64(120+i), `{"a b":`+v+`}`, "cookie=it's\\ "+strings.Repeat("日", 80))
		b.Customers = append(b.Customers, *c)
	}
	s.write(b)
	s.same()
	s.restart()
	s.same()
}

// testLarge: a batch may have many rows.
func testLarge(s *subject) {
	s.prepare()
	const rows = 10_000
	b := batch(0, rows)
	for c := range trackway.Customer(1000) {
		b.Customers = append(b.Customers, *customer(c+1, rows+uint64(c)+1, `{"n":1}`, fmt.Sprintf("cookie=%d", c)))
	}
	b.Through += 1000
	s.write(b)
	s.at(destination.Position{Store: storeID, Number: b.Through})
	s.same()
}

// testTwoProcesses: a process that continues after another one has taken over
// doubles nothing, and removes nothing. It may be refused.
func testTwoProcesses(s *subject) {
	if s.Lacks.Position {
		s.Skip("without a position, rows come twice")
	}
	s.prepare()
	zombie := s.sink
	s.write(batch(0, 5))
	s.sink = s.another()
	s.at(destination.Position{Store: storeID, Number: 5})
	s.write(batch(5, 10))
	_, _ = zombie.Write(s.Context(), batch(5, 8)) // it may fail
	s.sink = s.another()                          // the old process may have taken the destination back
	p := s.prepare()
	if p != (destination.Position{Store: storeID, Number: 10}) {
		s.Errorf("got position %v: the changes up to 10 are there", p)
	}
	s.write(batch(10, 12))
	s.same()
}

// testEnded: methods stop when their context has ended, and the sink still
// works afterwards.
func testEnded(s *subject) {
	s.prepare()
	s.write(batch(0, 3))
	ended, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.sink.Write(ended, batch(3, 6)); err == nil {
		s.Error("a write with an ended context succeeded")
	}
	p := s.prepare()
	if !s.Lacks.Position && p != (destination.Position{Store: storeID, Number: 3}) {
		s.Fatalf("got position %v", p)
	}
	s.write(batch(3, 6))
	s.same()
}

// testBroken: whatever happens to a connection, a batch is stored once if it is
// repeated as the engine repeats it.
func testBroken(s *subject) {
	if s.Break == nil {
		s.Skip("its connection cannot be broken")
	}
	s.prepare()
	after := uint64(0)
	for _, fault := range []Fault{Refused, Unanswered, Slow} {
		mend := s.Break(s.T, fault)
		b := batch(after, after+10)
		const patience = 10 * time.Second
		ctx, cancel := context.WithTimeout(s.Context(), patience)
		_, err := s.sink.Write(ctx, b)
		cancel()
		mend()
		if err == nil && fault == Refused {
			s.Errorf("%s: the write succeeded", fault)
		}
		for try := 0; err != nil; try++ {
			var p destination.Position
			if p, err = s.sink.Prepare(s.Context()); err == nil && (s.Lacks.Position || p.Number == after) {
				_, err = s.sink.Write(s.Context(), b)
			}
			if try == 10 {
				s.Fatalf("%s: it does not work again: %v", fault, err)
			}
		}
		s.want.add(b)
		after += 10
	}
	if !s.Lacks.Position {
		s.same()
	}
}
