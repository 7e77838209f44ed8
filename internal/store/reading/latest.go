package reading

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/format"
	"trackway/internal/store/recent"
)

// Latest returns the latest change of a customer or, with customer 0, of a
// project's expired events. The number is 0 if there is none. The change lacks
// the project and the customer.
func Latest(from Reader, project uint32, c trackway.Customer) (change.Change, error) {
	record, closer, err := from.Get(format.Key(nil).Latest(project, c))
	if errors.Is(err, pebble.ErrNotFound) {
		return change.Change{}, nil
	}
	var latest change.Change
	if err == nil {
		latest, err = recent.DecodeLatest(record)
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		return latest, fmt.Errorf("latest change of customer %d of project %d: %w", c, project, err)
	}
	return latest, nil
}

// Rewritten returns the number of the change by which followers learn that
// events of a customer were rewritten, or 0 if none were. If the customer was
// absorbed, it may be a change of a survivor. Cost: two look-ups, and two more
// for each survivor.
func Rewritten(from Reader, project uint32, c trackway.Customer) (number uint64, err error) {
	for c != 0 {
		latest, err := Latest(from, project, c)
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
