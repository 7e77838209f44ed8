package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/format"
)

// TestUnreadable: a damaged or lost record stays so, while other errors may be
// gone later.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want bool
	}{
		{format.ErrCorrupt, true},
		{pebble.ErrCorruption, true},
		{pebble.ErrNotFound, true},
		{fs.ErrNotExist, true},
		{errors.New("input/output error"), false},
		{pebble.ErrClosed, false},
		{fs.ErrClosed, false},
	} {
		if got := new(Feed).Unreadable(fmt.Errorf("customer 1: %w", test.err)); got != test.want {
			t.Errorf("%v: got %t, want %t", test.err, got, test.want)
		}
	}
}
