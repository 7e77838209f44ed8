package otlp

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// builder makes commands from the log records of one body, in either encoding.
type builder struct {
	project  *trackway.Project
	received trackway.Micros
	batch    *format.Batch
	records  int
	total    int // bytes of the events so far
	left     int // approximate number of bytes of the body that are still to come

	// The records of the current resource and scope share these.

	resource, scope shared

	// The names of the attributes that hold ids. The first of them are those of
	// users.
	names []string
	users int

	one attributes // of the current record; its memory is used again for each

	// Memory that the commands share.

	json       []byte // values of properties, in canonical form
	properties []trackway.Property
	ids        []trackway.Identifier
}

func newBuilder(p *trackway.Project, body []byte, received trackway.Micros) *builder {
	user, device := usualUser, usualDevice
	if p.UserAttributes != nil {
		user = p.UserAttributes
	}
	if p.DeviceAttributes != nil {
		device = p.DeviceAttributes
	}
	return &builder{
		project: p, received: received, batch: &format.Batch{Received: received},
		names: slices.Concat(user, device), users: len(user),
		json: make([]byte, 0, len(body)),
	}
}

// attributes holds those of a record, a resource or a scope. Attributes that do
// not become properties have separate fields.
type attributes struct {
	list              []trackway.Property                  // values in canonical form
	ids               [2 * trackway.MaxIDAttributes]string // in the order of the builder's names
	eventName, record string
	err               *trackway.Error // the first
}

// shared holds what a resource or a scope gives to its records.
type shared struct {
	attributes

	object []byte // the attributes in canonical form; nil: it has no attributes
}

func (a *attributes) clear() { *a = attributes{list: a.list[:0]} }

func (a *attributes) fail(err *trackway.Error) {
	if a.err == nil {
		a.err = err
	}
}

// add adds an attribute. Its value is the builder's JSON from start to its end.
func (b *builder) add(a *attributes, key string, start int) {
	text := b.json[start:len(b.json):len(b.json)]
	var into *string
	switch i := slices.Index(b.names, key); {
	case i >= 0:
		into = &a.ids[i]
	case key == eventName:
		into = &a.eventName
	case key == recordUID:
		into = &a.record
	default:
		if len(a.list) == canonjson.MaxMembers {
			a.fail(value.TooMany("attributes", canonjson.MaxMembers, "attributes"))
			return
		}
		if !utf8.ValidString(key) {
			key = strings.ToValidUTF8(key, "\uFFFD")
		}
		a.list = append(a.list, trackway.Property{Name: key, Value: text})
		return
	}
	s := canonjson.Scan(text)
	id, err := value.ID(key, s.Value())
	if err == nil && strings.ContainsRune(id, utf8.RuneError) {
		err = value.Expected(key, "text in UTF-8")
	}
	if err != nil {
		a.fail(err)
		return
	}
	*into = id
}

// share makes an object of the attributes of a resource or a scope.
func (b *builder) share(s *shared, name string) {
	s.object = nil
	if s.list = ordered(s.list); len(s.list) == 0 {
		return
	}
	start := len(b.json)
	b.json = canonjson.AppendObject(b.json, s.list)
	if s.object = b.json[start:len(b.json):len(b.json)]; len(s.object) > maxShared {
		s.fail(&trackway.Error{Code: trackway.Invalid, Field: name, Reason: trackway.LongJSON, Limit: maxShared, Got: len(s.object)})
		s.object = nil
	}
}

// record is one log record. Its attributes are in the builder.
type record struct {
	name         string
	time         uint64 // in nanoseconds since 1970; 0: unknown
	observed     uint64
	severity     uint64
	severityText string
	traceID      string // in hex
	spanID       string
	body         []byte          // in canonical form; nil: it has no body
	err          *trackway.Error // a field is not as expected
}

// finish adds the command of a record, or a refused command.
func (b *builder) finish(r *record) *trackway.Error {
	if n := len(b.batch.Commands); n == cap(b.batch.Commands) {
		const bytesPerRecord = 256 // of a body: a guess that saves growing
		b.batch.Grow(min(MaxRecords, max(2*n, b.left/bytesPerRecord+1)))
	}
	one := &b.one
	c := trackway.Command{Kind: trackway.AddEvent, IDs: b.identifiers(), Type: cmp.Or(r.name, one.eventName), Received: b.received}
	err := cmp.Or(r.err, one.err, b.resource.err, b.scope.err)
	switch {
	case c.Type == "":
		err = errNoName
	case !utf8.ValidString(c.Type): // protocol buffers do not check it
		c.Type, err = strings.ToValidUTF8(c.Type, "\uFFFD"), errNoText
	}
	if err == nil {
		c.Time, c.TimeGiven, err = b.time(r)
	}
	if err != nil {
		b.batch.Add(trackway.Command{IDs: c.IDs, Type: c.Type}, err, format.Label{Name: label})
		return nil
	}
	c.TimeVaries = !c.TimeGiven && one.record != ""
	c.Properties, c.Bytes = b.propertiesOf(r)
	c.Bytes += len(c.Type)
	if b.total += c.Bytes; b.total > maxTotal {
		return errTotal
	}
	b.batch.Add(c, nil, format.Label{Name: label})
	return nil
}

// identifiers returns whom a record is about. A project may lack either kind of
// identifier.
func (b *builder) identifiers() []trackway.Identifier {
	most := 1 + len(b.names) - b.users
	if cap(b.ids)-len(b.ids) < most {
		const bytesPerRecord = 256
		b.ids = make([]trackway.Identifier, 0, most+most*min(MaxRecords, b.left/bytesPerRecord))
	}
	start := len(b.ids)
	add := func(name, id string) {
		if name != "" && id != "" {
			b.ids = append(b.ids, trackway.Identifier{Name: name, Value: id})
		}
	}
	one, all := &b.one.ids, &b.resource.ids
	add(b.project.User, cmp.Or(cmp.Or(one[:b.users]...), cmp.Or(all[:b.users]...)))
	for i := b.users; i < len(b.names); i++ {
		add(b.project.Device, cmp.Or(one[i], all[i]))
	}
	return slices.Clip(b.ids[start:])
}

// time returns when a record happened, and whether the client chose that time.
func (b *builder) time(r *record) (trackway.Micros, bool, *trackway.Error) {
	field, nanos := "time_unix_nano", r.time
	if nanos == 0 {
		field, nanos = "observed_time_unix_nano", r.observed
	}
	if nanos == 0 {
		return b.received, false, nil
	}
	t, err := value.Within(field, int64(nanos/1000), true)
	return t, true, err
}

// propertiesOf returns the properties of a record's event, sorted, and their
// length as JSON.
func (b *builder) propertiesOf(r *record) (properties []trackway.Property, length int) {
	list := b.one.list
	add := func(name string, canonical []byte) {
		if canonical != nil {
			list = append(list, trackway.Property{Name: name, Value: canonical})
		}
	}
	text := func(name, s string) {
		if s != "" {
			start := len(b.json)
			b.json = canonjson.AppendString(b.json, s)
			add(name, b.json[start:len(b.json):len(b.json)])
		}
	}
	text(trackway.MessageID, b.one.record)
	if string(r.body) != "null" { // exporters send an empty value for no body
		add("body", r.body)
	}
	text("severity_text", r.severityText)
	if r.severity != 0 {
		start := len(b.json)
		b.json = strconv.AppendUint(b.json, r.severity, 10)
		add("severity_number", b.json[start:len(b.json):len(b.json)])
	}
	text("trace_id", r.traceID)
	text("span_id", r.spanID)
	add("resource", b.resource.object)
	add("scope", b.scope.object)
	b.one.list = list // its memory
	list = ordered(list)
	if cap(b.properties)-len(b.properties) < len(list) {
		const bytesPerProperty, most = 40, 1 << 12
		b.properties = make([]trackway.Property, 0, max(len(list), min(b.left/bytesPerProperty, most)))
	}
	start := len(b.properties)
	b.properties = append(b.properties, list...)
	length = len("{}")
	for i := range list {
		length += len(`"":,`) + len(list[i].Name) + len(list[i].Value)
	}
	return slices.Clip(b.properties[start:]), length
}

// ordered sorts properties by name, in place. Of several with the same name, it
// keeps only the first.
func ordered(properties []trackway.Property) []trackway.Property {
	const few = 32
	if len(properties) > few {
		slices.SortStableFunc(properties, func(a, b trackway.Property) int { return cmp.Compare(a.Name, b.Name) })
	} else {
		for i := 1; i < len(properties); i++ { // slices.SortStableFunc does the same through a pointer
			p, at := properties[i], i
			for ; at > 0 && p.Name < properties[at-1].Name; at-- {
				properties[at] = properties[at-1]
			}
			properties[at] = p
		}
	}
	kept := properties[:0]
	for i := range properties {
		if i == 0 || kept[len(kept)-1].Name != properties[i].Name {
			kept = append(kept, properties[i])
		}
	}
	return kept
}
