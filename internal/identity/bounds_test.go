package identity

import (
	"fmt"
	"testing"

	"trackway"
)

// TestMergesAreBounded: one command may make so many customers one and no more; a refused one has changed nothing.
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
// the oldest may have so many properties together and no more, whatever the
// oldest has; a refused one has changed nothing.
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
