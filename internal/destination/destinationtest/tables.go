// Package destinationtest tests what every kind of destination promises: a kind
// passes its sinks to [Run], which writes batches, breaks things, and then
// compares what the destination has with what was sent. [Memory] is a sink in
// memory with the same promises.
package destinationtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/destination"
)

// Tables is the content of a destination, as its own tools show it. For a kind
// that only appends, it is what the views show: each event once, and each
// customer in its latest state.
type Tables struct {
	Events    []destination.Event                     // a doubled event is listed twice
	Customers []destination.Customer                  // without identifiers; absorbed customers may be missing
	IDs       []ID                                    // those in force
	Map       map[trackway.Customer]trackway.Customer // absorbed customers to survivors, which may be absorbed, too
	Erasures  []destination.Erasure
}

// ID is a row of customer_ids.
type ID struct {
	Customer    trackway.Customer
	Name, Value string
}

// lines formats tables as text, so that people can read differences. It leaves
// out absorbed customers, and follows chains of survivors.
func (t *Tables) lines() []string {
	var lines []string
	for _, e := range t.Events {
		lines = append(lines, fmt.Sprintf("event %06d of %d: %s %q at %d, received %d, %s", e.Seq, e.Customer, e.Project, e.Type, e.At, e.Received, e.Properties))
	}
	for _, c := range t.Customers {
		if _, absorbed := t.Map[c.Customer]; !absorbed {
			lines = append(lines, fmt.Sprintf("customer %d: %s, created %d, changed %d, erased %t, %s", c.Customer, c.Project, c.Created, c.Changed, c.Erased, c.Properties))
		}
	}
	for _, id := range t.IDs {
		lines = append(lines, fmt.Sprintf("id of %d: %q=%q", id.Customer, id.Name, id.Value))
	}
	for absorbed := range t.Map {
		lines = append(lines, fmt.Sprintf("map %d to %d", absorbed, t.survivor(absorbed)))
	}
	for _, e := range t.Erasures {
		lines = append(lines, fmt.Sprintf("erasure %d of %d: %s, asked %d, done %d", e.ID, e.Customer, e.Project, e.Asked, e.Done))
	}
	slices.Sort(lines)
	return lines
}

func (t *Tables) survivor(c trackway.Customer) trackway.Customer {
	for range len(t.Map) {
		next, absorbed := t.Map[c]
		if !absorbed {
			break
		}
		c = next
	}
	return c
}

// compare fails the test unless both have the same rows.
func compare(t *testing.T, got, want *Tables) {
	t.Helper()
	if diff := gocmp.Diff(want.lines(), got.lines()); diff != "" {
		t.Errorf("the destination has other rows than it should (-want +got):\n%s", diff)
	}
}

// add applies a batch, by the rules of [destination.Sink].
func (t *Tables) add(b *destination.Batch) {
	for _, events := range [][]destination.Event{b.Events, b.Rewritten} {
		for _, e := range events {
			e.Holder = nil
			i, found := slices.BinarySearchFunc(t.Events, e, func(a, b destination.Event) int { return cmp.Compare(a.Seq, b.Seq) })
			if found {
				t.Events[i] = e
			} else {
				t.Events = slices.Insert(t.Events, i, e)
			}
		}
	}
	for i := range b.Customers {
		t.customer(b.Customers[i])
	}
	for _, e := range b.Erasures {
		t.Erasures = slices.DeleteFunc(t.Erasures, func(old destination.Erasure) bool { return old.ID == e.ID })
		t.Erasures = append(t.Erasures, e)
	}
}

func (t *Tables) customer(c destination.Customer) {
	t.IDs = slices.DeleteFunc(t.IDs, func(id ID) bool { return id.Customer == c.Customer })
	for _, id := range c.IDs {
		t.IDs = append(t.IDs, ID{c.Customer, id.Name, id.Value})
	}
	if c.Survivor != 0 {
		if t.Map == nil {
			t.Map = make(map[trackway.Customer]trackway.Customer)
		}
		t.Map[c.Customer] = c.Survivor
	}
	c.IDs, c.Survivor = nil, 0
	t.Customers = slices.DeleteFunc(t.Customers, func(old destination.Customer) bool { return old.Customer == c.Customer })
	t.Customers = append(t.Customers, c)
}

// clone returns a copy that later changes of t do not affect.
func (t *Tables) clone() *Tables {
	own := &Tables{
		Events: slices.Clone(t.Events), Customers: slices.Clone(t.Customers), IDs: slices.Clone(t.IDs),
		Erasures: slices.Clone(t.Erasures), Map: maps.Clone(t.Map),
	}
	return own
}
