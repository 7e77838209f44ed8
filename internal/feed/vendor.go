package feed

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"trackway/internal/format/foreign"
)

// Query returns the parameters that the server's import needs for a file. The
// customers of a vendor's file count as of the file's last change, unless the
// file gives a time.
func (o *Options) Query(path string) url.Values {
	query := url.Values{"project": {o.Project}, "store": {o.Store}}
	if o.From == "" {
		return query
	}
	query.Set("from", o.From)
	query.Set("event_type", o.Mapping.EventType)
	if info, err := os.Stat(path); err == nil && path != Stdin {
		query.Set("as_of", strconv.FormatInt(info.ModTime().UnixMicro(), 10))
	}
	return query
}

// Fits returns an error if the mapping has a setting that has no meaning for a
// vendor's files.
func (m *Mapping) Fits(vendor string) error {
	switch {
	case vendor == "":
	case len(m.Map) > 0:
		return errors.New("--map does not go with --from: the vendor's names are known")
	case m.EventType != "" && !foreign.NeedsType(vendor):
		return fmt.Errorf("--event-type does not go with --from %s: its events have types", vendor)
	}
	return nil
}
