package page

import (
	"bytes"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
)

var mark = []byte(`"` + trackway.Quarantined + `":`)

// isQuarantined reports whether an event has the mark of a quarantine.
func isQuarantined(e *trackway.Event) bool {
	if !bytes.Contains(e.Properties, mark) {
		return false
	}
	return slices.ContainsFunc(canonjson.SplitObject(e.Properties), func(p trackway.Property) bool { return p.Name == trackway.Quarantined })
}
