package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/canonjson"
	"trackway/internal/format/tracking"
	"trackway/internal/piecewise"
	"trackway/internal/query"
	"trackway/internal/query/page"
)

const (
	usualRows       = 50
	mostRows        = 200
	mostMerges      = 50
	firstProperties = 8 // shown of each customer in a list
)

// customerRow is a customer in a list.
type customerRow struct {
	Customer   number          `json:"customer"`
	IDs        json.RawMessage `json:"ids"`
	Properties json.RawMessage `json:"properties"`
	Created    seconds         `json:"created"`
	Total      int             `json:"properties_total"`
}

// searchField is the header field with the search, and with the cursor of the
// next page. Both contain identifiers. Proxies log addresses in their access
// logs, but not header fields.
const searchField = "X-Search"

// customers answers with a page of the customers that match a search.
func (q *request) customers() error {
	p, err := q.project(q.param("project"))
	if err != nil {
		return err
	}
	asked, err := url.ParseQuery(q.r.Header.Get(searchField))
	if err != nil {
		return ask.Invalid(searchField, "q and cursor, encoded as in the query of a URL")
	}
	q.w.Header().Set("Vary", searchField)
	if q.unchanged(q.version(q.Store.Version(p.Number), asked.Encode())) {
		return nil
	}
	rows, err := q.whole("rows", usualRows, mostRows)
	if err != nil {
		return err
	}
	order, err := q.oneOf("order", "newest", "oldest")
	if err != nil {
		return err
	}
	search := page.ParseSearch(asked.Get("q"), slices.Concat(p.Hard, p.Soft))
	open := q.seesPersonal(p)
	if !open && asked.Get("q") != "" && (search.Property == "" || personal(p, search.Property)) {
		return errSearch
	}
	ctx, cancel := q.deadline()
	defer cancel()
	var list page.CustomerList
	var total *uint64
	err = q.withSnapshot(func(s query.Snapshot) (err error) {
		if asked.Get("q") == "" {
			all, err := query.Total(s, p.Number)
			if err != nil {
				return err
			}
			n := all.Customers()
			total = &n
		}
		if open {
			if err = literally(ctx, s, p.Number, asked.Get("q"), &search); err != nil {
				return err
			}
		}
		search.NewestFirst, search.Cursor, search.Limit = order == "newest", page.Cursor(asked.Get("cursor")), rows
		list, err = page.Customers(ctx, s, p.Number, search)
		return err
	})
	if err != nil {
		return err
	}
	found := make([]customerRow, len(list.Rows))
	for i, c := range list.Rows {
		c = q.shownProfile(p, c)
		found[i] = customerRow{
			number(c.Customer), canonjson.AppendIDs(nil, c.IDs), firstOf(c.Properties), seconds(c.Created), len(c.Properties),
		}
	}
	return q.answer(struct {
		Rows     []customerRow `json:"rows"`
		Next     *page.Cursor  `json:"next"`
		Total    *uint64       `json:"total"`
		Searched int           `json:"searched"`
		Complete bool          `json:"complete"`
	}{found, next(list.Next), total, list.Searched, list.Complete})
}

// literally makes a search for name=value look for identifiers that begin with
// the whole text, if there are any. Pasted identifiers may look like that,
// because base64 ends in "=". Cost: one lookup in the index of identifiers.
func literally(ctx context.Context, s query.Snapshot, project uint32, text string, search *page.Search) error {
	if search.Property == "" || slices.Contains(search.Names, search.Property) {
		return nil
	}
	whole := page.Search{Names: search.Names, Prefix: text, Limit: 1}
	found, err := page.Customers(ctx, s, project, whole)
	if err == nil && len(found.Rows) > 0 {
		*search = whole
	}
	return err
}

func next(c page.Cursor) *page.Cursor {
	if c == "" {
		return nil
	}
	return &c
}

func firstOf(properties []trackway.DatedProperty) []byte {
	return canonjson.AppendObject(nil, query.Undated(properties[:min(len(properties), firstProperties)]))
}

// named calls do with the customer in the request, and a snapshot to read that
// customer from.
func (q *request) named(p *trackway.Project, customer string, do func(query.Snapshot, trackway.Customer) error) error {
	c, err := parseCustomer(customer)
	if err != nil {
		return err
	}
	return q.withSnapshot(func(s query.Snapshot) error {
		survivor, err := s.Survivor(p.Number, c)
		if err == nil && survivor == 0 {
			return errNoCustomer
		} else if err != nil {
			return err
		}
		return do(s, survivor)
	})
}

// An identifier, a property, a merge and an event type of one customer.
type (
	idRow struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		Hard  bool   `json:"hard"`
	}
	propertyRow struct {
		Name    string          `json:"name"`
		Value   json.RawMessage `json:"value"`
		Updated seconds         `json:"updated"`
	}
	mergeRow struct {
		Time     seconds         `json:"time"`
		Cause    json.RawMessage `json:"cause"`
		Absorbed json.RawMessage `json:"absorbed"`
		Survivor json.RawMessage `json:"survivor"`
	}
	countRow struct {
		Type  string `json:"type"`
		Count uint64 `json:"count"`
	}
)

// profile is one customer.
type profile struct {
	Customer   number        `json:"customer"`
	Created    seconds       `json:"created"`
	IDs        []idRow       `json:"ids"`
	Properties []propertyRow `json:"properties"`
	Merges     []mergeRow    `json:"merges"`
	Types      []countRow    `json:"types"`
	Total      uint64        `json:"events_total"`
	Complete   bool          `json:"complete"` // false if the deadline came before all events were counted
}

// customer answers with the profile of one customer.
func (q *request) customer() error {
	p, err := q.project(q.param("project"))
	if err != nil || q.unchanged(q.version(q.Store.Version(p.Number))) {
		return err
	}
	out := profile{IDs: []idRow{}, Properties: []propertyRow{}, Merges: []mergeRow{}}
	err = q.named(p, q.param("customer"), func(s query.Snapshot, c trackway.Customer) error {
		known, err := s.Profile(p.Number, c)
		if err != nil {
			return err
		}
		known = q.shownProfile(p, known)
		out.Customer, out.Created = number(c), seconds(known.Created)
		for _, id := range known.IDs {
			out.IDs = append(out.IDs, idRow(id))
		}
		for i := range known.Properties {
			of := &known.Properties[i]
			out.Properties = append(out.Properties, propertyRow{of.Name, of.Value, seconds(of.Updated)})
		}
		merges, err := page.Merges(q.r.Context(), s, p.Number, c, mostMerges)
		for _, m := range merges {
			if !q.seesPersonal(p) {
				m.Cause, m.Absorbed, m.Survivor = nil, nil, nil
			}
			out.Merges = append(out.Merges, mergeRow{seconds(m.Time), object(m.Cause), object(m.Absorbed), object(m.Survivor)})
		}
		if err != nil {
			return err
		}
		return q.countTypes(&out, s, p, c)
	})
	if err != nil {
		return err
	}
	return q.answer(&out)
}

// object returns a JSON object. An erased one is empty.
func object(b []byte) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("{}")
	}
	return b
}

// countTypes counts a customer's events by type, as far as time allows.
func (q *request) countTypes(out *profile, s query.Snapshot, p *trackway.Project, c trackway.Customer) error {
	ctx, cancel := q.deadline()
	defer cancel()
	counted := map[string]uint64{}
	err := query.Events(ctx, s, p.Number, c, query.EventFilter{}, func(e *trackway.Event) bool {
		out.Total++
		counted[e.Type]++
		return true
	})
	out.Complete = context.Cause(ctx) == nil
	out.Types = []countRow{}
	for _, name := range slices.SortedFunc(maps.Keys(counted), func(a, b string) int {
		if counted[a] != counted[b] {
			return int(counted[b]) - int(counted[a])
		}
		return strings.Compare(a, b)
	}) {
		out.Types = append(out.Types, countRow{name, counted[name]})
	}
	if !out.Complete {
		return context.Cause(q.r.Context())
	}
	return err
}

// eventRow is an event in a list.
type eventRow struct {
	Seq        number          `json:"seq"`
	Type       string          `json:"type"`
	Time       seconds         `json:"time"`
	Received   seconds         `json:"received"`
	Customer   number          `json:"customer"`
	Properties json.RawMessage `json:"properties"`
}

// events answers with a page of the events of a customer or of the project,
// newest first.
func (q *request) events() error {
	p, err := q.project(q.param("project"))
	if err != nil || q.unchanged(q.version(q.Store.Version(p.Number))) {
		return err
	}
	rows, err := q.whole("rows", usualRows, mostRows)
	if err != nil {
		return err
	}
	ctx, cancel := q.deadline()
	defer cancel()
	search := page.EventSearch{
		Types: q.r.URL.Query()["type"], NewestFirst: true, Cursor: page.Cursor(q.param("cursor")), Limit: rows,
	}
	var list page.EventList
	if q.param("customer") == "" {
		err = q.withSnapshot(func(s query.Snapshot) (err error) {
			list, err = page.Received(ctx, s, p.Number, search)
			return err
		})
	} else {
		err = q.named(p, q.param("customer"), func(s query.Snapshot, c trackway.Customer) (err error) {
			list, err = page.Timeline(ctx, s, p.Number, c, search)
			return err
		})
	}
	if err != nil {
		return err
	}
	found := make([]eventRow, len(list.Rows))
	for i := range list.Rows {
		e := &list.Rows[i]
		found[i] = eventRow{number(e.Seq), e.Type, seconds(e.Time), seconds(e.Received), number(e.Customer), q.shownProperties(p, e)}
	}
	return q.answer(struct {
		Rows     []eventRow   `json:"rows"`
		Next     *page.Cursor `json:"next"`
		Complete bool         `json:"complete"`
	}{found, next(list.Next), list.Complete})
}

// export sends everything that is known about one customer as a file.
func (q *request) export() error {
	p, err := q.project(q.param("project"))
	if err != nil {
		return err
	}
	return q.named(p, q.param("customer"), func(s query.Snapshot, c trackway.Customer) error {
		known, err := s.Profile(p.Number, c)
		if err != nil {
			return err
		}
		if err := q.Audit.Add(q.aboutCustomer(audit.DataExport, p, c)); err != nil {
			return err
		}
		h := q.w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="customer-%d.json"`, c))
		b := canonjson.AppendIDs([]byte(`{"ids":`), known.IDs)
		b = canonjson.AppendObject(append(b, `,"properties":`...), query.Undated(known.Properties))
		b = append(b, `,"events":[`...)
		first, gone := true, false
		out := piecewise.To(q.w)
		err = query.Events(q.r.Context(), s, p.Number, c, query.EventFilter{}, func(e *trackway.Event) bool {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = tracking.AppendEvent(b, e)
			if len(b) < piecewise.Size {
				return true
			}
			gone = out.Send(b) != nil
			b = b[:0]
			return !gone
		})
		if err != nil || gone {
			return err
		}
		_ = out.Send(append(b, "]}\n"...)) // an error means that the client has gone
		return nil
	})
}

// anonymize erases a customer's identity. The events stay.
func (q *request) anonymize() error {
	var sent struct{ Project, Customer string }
	if err := json.NewDecoder(q.r.Body).Decode(&sent); err != nil {
		return ask.Invalid("customer", "a JSON object with project and customer, two strings")
	}
	p, err := q.project(sent.Project)
	if err != nil {
		return err
	}
	var customer trackway.Customer
	err = q.named(p, sent.Customer, func(_ query.Snapshot, c trackway.Customer) error {
		customer = c
		return nil
	})
	if err != nil {
		return err
	}
	err = q.Audit.Do(q.aboutCustomer(audit.DataAnonymize, p, customer), func() error {
		_, err := q.Eraser.Erase(p.Number, customer, p.Personal, trackway.MicrosOf(time.Now()))
		return err
	})
	if err != nil {
		return err
	}
	return q.answer(done{true})
}
