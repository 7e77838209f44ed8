package listing

import (
	"strings"
	"testing"

	"trackway/internal/catalogue"
)

// TestNoTypes: events without a place are not called no events.
func TestNoTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		view      catalogue.View
		want, not string
	}{
		{catalogue.View{Exact: true}, "no events yet", "other types"},
		{catalogue.View{Exact: true, Events: 2, LookedAt: 2, OtherTypes: 2}, "2 events of other types", "no events yet"},
	} {
		var out strings.Builder
		if err := Types(&out, &test.view); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, test.want) || strings.Contains(got, test.not) {
			t.Errorf("got %s", got)
		}
	}
}
