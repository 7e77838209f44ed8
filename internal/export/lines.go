package export

import (
	"cmp"
	"io"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// lines is NDJSON with one command of the tracking API per line. Sending all
// lines to an empty server creates the same customers, properties and events.
type lines struct {
	w io.Writer
	b []byte
}

// Customer writes a command for each time at which properties were last
// updated, because a command has only one time. The oldest time comes first.
// Properties of one time that are too long for one command, because several
// commands had set them, are split into several.
func (l *lines) Customer(c *trackway.Profile) error {
	byTime := slices.Clone(c.Properties)
	slices.SortStableFunc(byTime, func(a, b trackway.DatedProperty) int { return cmp.Compare(a.Updated, b.Updated) })
	for first := true; first || len(byTime) > 0; first = false {
		n, size := 0, 0
		for n < len(byTime) && byTime[n].Updated == byTime[0].Updated {
			if size += lengthOf(&byTime[n]); n > 0 && size > trackway.MaxEventBytes {
				break
			}
			n++
		}
		if err := l.update(c, byTime[:n]); err != nil {
			return err
		}
		byTime = byTime[n:]
	}
	return nil
}

// lengthOf returns the maximum length of a property in an object.
func lengthOf(p *trackway.DatedProperty) int {
	const mostEscaped = len(`\u0000`)
	return mostEscaped*len(p.Name) + len(p.Value) + len(`{"":}`)
}

// update writes properties that were updated at the same time. There may be
// none.
func (l *lines) update(c *trackway.Profile, same []trackway.DatedProperty) error {
	l.begin(tracking.Customers, c)
	if len(same) > 0 {
		l.b = canonjson.AppendObject(append(l.b, `,"properties":`...), query.Undated(same))
		l.b = same[0].Updated.AppendSeconds(append(l.b, `,"update_timestamp":`...))
	}
	return l.end()
}

// Event writes one command.
func (l *lines) Event(of *trackway.Profile, e *trackway.Event) error {
	l.begin(tracking.Events, of)
	l.b = canonjson.AppendString(append(l.b, `,"event_type":`...), e.Type)
	l.b = e.Time.AppendSeconds(append(l.b, `,"timestamp":`...))
	l.b = append(append(l.b, `,"properties":`...), object(e.Properties)...)
	return l.end()
}

// Close does nothing: every line is complete.
func (*lines) Close() error { return nil }

func (l *lines) begin(name string, c *trackway.Profile) {
	l.b = canonjson.AppendString(append(l.b[:0], `{"name":`...), name)
	l.b = canonjson.AppendIDs(append(l.b, `,"data":{"customer_ids":`...), c.IDs)
}

func (l *lines) end() error {
	l.b = append(l.b, "}}\n"...)
	_, err := l.w.Write(l.b)
	return err
}

// object returns an event's properties as a JSON object. Without properties the
// store returns no bytes.
func object(properties []byte) []byte {
	if len(properties) == 0 {
		return []byte("{}")
	}
	return properties
}

// latest returns when a customer's properties were last updated, or 0 if they
// never were.
func latest(c *trackway.Profile) (at trackway.Micros) {
	for i := range c.Properties {
		at = max(at, c.Properties[i].Updated)
	}
	return at
}
