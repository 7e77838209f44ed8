package recent

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/format"
)

// Reader is the source of records.
type Reader interface {
	Get(key []byte) (value []byte, closer io.Closer, err error)
}

// Latest returns the latest change of a customer or, with customer 0, of a
// project's expired events. Without one, the number is 0. The change lacks
// the project and the customer.
func Latest(from Reader, project uint32, c trackway.Customer) (change.Change, error) {
	record, closer, err := from.Get(format.Key(nil).Latest(project, c))
	if errors.Is(err, pebble.ErrNotFound) {
		return change.Change{}, nil
	}
	var latest change.Change
	if err == nil {
		latest, err = DecodeLatest(record)
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		return latest, fmt.Errorf("latest change of customer %d of project %d: %w", c, project, err)
	}
	return latest, nil
}
