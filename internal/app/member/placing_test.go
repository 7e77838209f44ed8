package member

import (
	"fmt"
	"slices"
	"testing"

	"trackway/internal/partition/placement"
)

// TestPlan: the plan follows from what servers tell. A copy that is on its way
// is waited for, and that of a server that was removed goes. Leadership moves
// when all copies are in their places.
func TestPlan(t *testing.T) {
	t.Parallel()
	const partitions, copies = 3, 3
	c := &cluster{ids: map[string]string{}, at: map[string]string{}, told: map[string][]view{}, parts: make([]view, partitions)}
	var ids []string
	for i := range 5 {
		id, address := fmt.Sprint("id", i), fmt.Sprint("host", i, ":1")
		c.ids[address], c.at[id] = id, address
		ids = append(ids, id)
	}
	place := func() {
		clear(c.told)
		for address := range c.ids {
			c.told[address] = []view{}
		}
		for part := range c.parts {
			v := &c.parts[part]
			*v = view{Part: part, Leading: true}
			for _, id := range placement.Holders(part, ids, copies) {
				v.Members = append(v.Members, viewed{ID: "x" + id, Address: c.at[id], Voter: true})
				c.told[c.at[id]] = append(c.told[c.at[id]], view{Part: part, Serves: true})
			}
			v.Leader = v.Members[0].Address
		}
	}
	place()
	for _, s := range c.plan(copies) {
		if s.Do != placement.Lead {
			t.Errorf("all is in its place, and the plan has %v", s)
		}
	}
	onItsWay := &c.parts[1].Members[2]
	onItsWay.Voter = false
	if got, want := c.plan(copies), []placement.Step{{Do: placement.Add, Part: 1, Server: onItsWay.Address}}; !slices.Equal(got, want) {
		t.Errorf("a copy is on its way: got %v, want %v", got, want)
	}
	place()
	c.parts[2].Members = append(c.parts[2].Members, viewed{ID: "y", Address: "gone:1", Voter: true})
	if got, want := c.plan(copies), []placement.Step{{Do: placement.Remove, Part: 2, Server: "gone:1"}}; !slices.Equal(got, want) {
		t.Errorf("a server was removed: got %v, want %v", got, want)
	}
	place()
	c.parts[1].Leading, c.parts[1].Members = false, nil // nobody tells
	c.parts[2].Members = append(c.parts[2].Members, viewed{ID: "y", Address: "gone:1", Voter: true})
	if got, want := c.plan(copies), []placement.Step{{Do: placement.Remove, Part: 2, Server: "gone:1"}}; !slices.Equal(got, want) {
		t.Errorf("a partition has no leader: got %v, want %v", got, want)
	}
	place()
	lost := c.parts[1].Members[2]
	for name, views := range map[string][]view{
		"a server has lost a copy":             {{Part: 0, Serves: true}},
		"a server has a copy under another id": {{Part: 0, Serves: true}, {Part: 1, ID: "another"}},
	} {
		c.told[lost.Address] = views
		if got, want := c.plan(copies), []placement.Step{{Do: placement.Add, Part: 1, Server: lost.Address}}; len(got) == 0 || got[0] != want[0] {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	place()
	down := c.parts[1].Members[1].Address
	delete(c.told, down)
	for part := range c.parts { // it leads nothing, and gets nothing to lead
		c.parts[part].Leader = c.parts[1].Members[0].Address
	}
	for _, s := range c.plan(copies) {
		if s.Do != placement.Lead || s.Server == down {
			t.Errorf("%s is down: the plan has %v", down, s)
		}
	}
}
