package listing

import (
	"slices"
	"testing"

	"trackway/internal/config"
)

// TestLacking: the list names the destinations that a running server
// has not read yet.
func TestLacking(t *testing.T) {
	t.Parallel()
	configured := []config.Destination{{Name: "out"}, {Name: "warehouse"}}
	if got := Lacking([]Row{{Name: "out"}}, configured); !slices.Equal(got, []string{"warehouse"}) {
		t.Errorf("got %q", got)
	}
}
