package listing_test

import (
	"fmt"
	"strings"
	"testing"

	"trackway/internal/destination/listing"
)

// TestManyMisfits: values of many types do not fit into a column. Clients
// invent the types, which must not hide the rest of the list.
func TestManyMisfits(t *testing.T) {
	t.Parallel()
	row := listing.Row{Name: "warehouse", LetsGo: true}
	for i := range uint64(1000) {
		row.Misfits = append(row.Misfits, listing.Misfit{Type: fmt.Sprint("type ", i), Property: "country", Values: i % 500})
	}
	row.Misfits = append(row.Misfits, listing.Misfit{Values: 2002}) // column.Misfits adds up what exceeds a thousand
	var b strings.Builder
	if err := listing.Print(&b, []listing.Row{row}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"country is empty in 499 events of type type 499,", "others is empty in 2002 events of type others,", "991 more", "it has missed"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n > 20 {
		t.Errorf("got %d lines", n)
	}
}
