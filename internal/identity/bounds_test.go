package identity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"trackway"
)

// TestMergesAreBounded: one command may merge a limited number of customers. A
// refused command changes nothing.
func TestMergesAreBounded(t *testing.T) {
	t.Parallel()
	for n, refused := range map[int]bool{MaxAbsorbed + 1: false, MaxAbsorbed + 2: true} {
		var ids []trackway.Identifier
		var found []*Holder
		for i := range n {
			id := trackway.Identifier{Name: "cookie", Value: fmt.Sprint("c", i)}
			ids = append(ids, id)
			found = append(found, &Holder{Customer: trackway.Customer(i + 1), IDs: []ID{{Identifier: id, Used: 1}}})
		}
		d, err := Resolve(ids, found, 2)
		switch {
		case (err != nil) != refused:
			t.Errorf("%d customers: got %v", n, err)
		case refused && (len(found[0].IDs) != 1 || err.Code != trackway.Conflict):
			t.Errorf("%d customers: got %v, and the oldest is now %v", n, err, found[0])
		case !refused && len(d.Absorbed) != MaxAbsorbed:
			t.Errorf("%d customers: %d were absorbed", n, len(d.Absorbed))
		}
	}
}

// TestMergedPropertiesAreBounded: the customers that one command merges into
// the oldest may have a limited number of properties together, no matter how
// many the oldest has. A refused command changes nothing.
func TestMergedPropertiesAreBounded(t *testing.T) {
	t.Parallel()
	for n, refused := range map[int]bool{MaxMovedProperties: false, MaxMovedProperties + 1: true} {
		var ids []trackway.Identifier
		var found []*Holder
		for i, properties := range []int{n - trackway.MaxProperties, 5000, trackway.MaxProperties} {
			id := trackway.Identifier{Name: "cookie", Value: fmt.Sprint("c", i)}
			ids = append(ids, id)
			age := trackway.Customer([]int{7, 3, 9}[i])
			found = append(found, &Holder{Customer: age, Properties: properties, IDs: []ID{{Identifier: id, Used: 1}}})
		}
		d, err := Resolve(ids, found, 2)
		switch {
		case (err != nil) != refused:
			t.Errorf("%d properties: got %v", n, err)
		case refused && (len(found[1].IDs) != 1 || err.Code != trackway.Conflict):
			t.Errorf("%d properties: got %v, and the oldest is now %v", n, err, found[1])
		case !refused && (len(d.Absorbed) != 2 || d.Holder.Customer != 3):
			t.Errorf("%d properties: got %+v", n, d)
		}
	}
}

// TestTakingIsBounded: one command may take identifiers from a limited number
// of customers. A refused command changes nothing.
func TestTakingIsBounded(t *testing.T) {
	t.Parallel()
	for n, refused := range map[int]bool{MaxRobbed: false, MaxRobbed + 1: true} {
		ids := []trackway.Identifier{{Name: "registered", Value: "claims", Hard: true}}
		found := []*Holder{nil}
		for i := range n {
			own := trackway.Identifier{Name: "registered", Value: fmt.Sprint("r", i), Hard: true}
			id := trackway.Identifier{Name: "cookie", Value: fmt.Sprint("c", i)}
			ids = append(ids, id)
			found = append(found, &Holder{Customer: trackway.Customer(i + 1), IDs: []ID{{Identifier: own, Used: 1}, {Identifier: id, Used: 1}}})
		}
		d, err := Resolve(ids, found, 2)
		switch {
		case (err != nil) != refused:
			t.Errorf("from %d customers: got %v", n, err)
		case refused && (len(found[1].IDs) != 2 || err.Code != trackway.Conflict):
			t.Errorf("from %d customers: got %v, and the first is now %v", n, err, found[1])
		case !refused && len(d.Robbed) != MaxRobbed:
			t.Errorf("from %d customers: %d lost one", n, len(d.Robbed))
		}
	}
}

// TestManyToFront: moving many identifiers to the front at once gives the same
// result as moving them one by one.
func TestManyToFront(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	random := func(most int) (ids []trackway.Identifier) {
		seen := make(map[trackway.Identifier]bool)
		for range r.IntN(most) {
			id := identifier([]string{"a", "cookie", "z", "email", "phone"}[r.IntN(5)], strconv.Itoa(r.IntN(most)))
			key := id
			if id.Hard {
				key.Value = "" // one for each name
			}
			if !seen[key] {
				seen[key] = true
				ids = append(ids, id)
			}
		}
		return ids
	}
	for range 500 {
		var one, all Holder
		for _, id := range random(40) {
			one.toFront(ID{Identifier: id, Used: 1})
		}
		all.IDs = slices.Clone(one.IDs)
		ids := random(60)
		for _, id := range slices.Backward(ids) {
			one.toFront(ID{Identifier: id, Used: 2})
		}
		all.allToFront(ids, 2)
		if !slices.Equal(one.IDs, all.IDs) {
			t.Fatalf("%v in front:\ngot  %v\nwant %v", ids, all.IDs, one.IDs)
		}
	}
}
