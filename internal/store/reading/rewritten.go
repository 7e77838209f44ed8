package reading

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/recent"
)

// Rewritten returns the number of the change by which followers learn that
// events of a customer were rewritten, or 0 if none were. If the customer was
// absorbed, it may be a change of a survivor. Cost: two look-ups, and two more
// for each survivor.
func Rewritten(from Reader, project uint32, c trackway.Customer) (number uint64, err error) {
	for c != 0 {
		latest, err := recent.Latest(from, project, c)
		if err != nil {
			return 0, err
		}
		if latest.Kind >= change.Rewritten {
			number = max(number, latest.Number)
		}
		h, err := Holder(from, project, c)
		if errors.Is(err, pebble.ErrNotFound) {
			break
		} else if err != nil {
			return 0, err
		}
		c = h.MergedInto
	}
	return number, nil
}
