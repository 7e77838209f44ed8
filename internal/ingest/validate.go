package ingest

import (
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/excerpt"
	"trackway/internal/query"
)

// Validate checks a command against the rules of the domain and the project's
// identifiers. It turns the command into the form that the store expects. It
// trims identifiers, classifies them as hard or soft, and removes repetitions.
// It leaves out those that name nobody, even if it refuses the command. An
// update from the future takes the time of its receipt. Validate has no other
// side effects. The error is meant for the client.
func Validate(p *trackway.Project, c *trackway.Command) *trackway.Error {
	if err := validateIDs(p, c); err != nil {
		return err
	}
	if c.Kind == trackway.AddEvent {
		if err := validateEvent(p, c); err != nil {
			return err
		}
	}
	if c.Time < trackway.MinTime || c.Time > trackway.MaxTime {
		return expected("timestamp", "a time in the years 1970 to 2200")
	}
	if c.Kind == trackway.UpdateCustomer {
		c.Time = min(c.Time, c.Received) // else a wrong clock would block later updates for years
	}
	return validateProperties(c)
}

func validateEvent(p *trackway.Project, c *trackway.Command) *trackway.Error {
	switch {
	case c.Type == "":
		return &trackway.Error{Code: trackway.Invalid, Field: "event_type", Reason: trackway.Required}
	case len(c.Type) > trackway.MaxTypeBytes:
		return over("event_type", trackway.LongText, trackway.MaxTypeBytes, len(c.Type))
	case c.Bytes > trackway.MaxEventBytes:
		err := over("properties", trackway.LargeEvent, trackway.MaxEventBytes, c.Bytes)
		err.Code = trackway.TooLarge
		return err
	case c.Type == trackway.MergeType:
		return validateMerge(p, c)
	}
	return nil
}

// validateMerge bounds the identifiers in a client's event of type merge. The
// event may be the record of a merge on another server, so the store notes each
// identifier for the day on which it has to be erased: thousands would be
// thousands of writes. Noting only some would leave the others in the event for
// ever, so validateMerge refuses the event. The record of a merge names the
// identifiers of the command and of both customers, which is the allowed
// number.
func validateMerge(p *trackway.Project, c *trackway.Command) *trackway.Error {
	const lists = 3 // cause, survivor and absorbed
	most := lists * (len(p.Hard) + trackway.MaxSoftIDs*len(p.Soft))
	named := 0
	for i := range c.Properties {
		property := &c.Properties[i]
		if !namesIdentifiers(property) {
			continue
		}
		for range canonjson.IDsIn(property.Value) {
			if named++; named > most {
				return over("properties."+property.Name, trackway.MergeNames, most, named)
			}
		}
	}
	return nil
}

// validateProperties bounds names and, for a customer, each value: all values
// are read together with the customer. The bound of the event covers an event's
// values.
func validateProperties(c *trackway.Command) *trackway.Error {
	for i := range c.Properties {
		p := &c.Properties[i]
		if len(p.Name) > trackway.MaxNameBytes {
			return over("properties", trackway.LongName, trackway.MaxNameBytes, len(p.Name))
		}
		if c.Kind == trackway.UpdateCustomer && len(p.Value) > trackway.MaxValueBytes {
			return over("properties."+p.Name, trackway.LongJSON, trackway.MaxValueBytes, len(p.Value))
		}
	}
	return nil
}

// expected returns the error for a field with an unexpected value.
func expected(field, what string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Expected, What: what}
}

// over returns the error for a field that exceeds a limit.
func over(field string, r trackway.Code, limit, got int) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: r, Limit: limit, Got: got}
}

// namesIdentifiers reports whether a property of a merge is an object of
// identifiers, which the store notes (internal/store/erased).
func namesIdentifiers(p *trackway.Property) bool {
	switch p.Name {
	case query.AbsorbedIDs, query.CauseIDs, query.SurvivorIDs:
		return p.Value[0] == '{'
	}
	return false
}

// validateIDs classifies the identifiers and requires at least one, unless the
// command may be anonymous.
func validateIDs(p *trackway.Project, c *trackway.Command) (err *trackway.Error) {
	c.IDs, c.LeftOut, err = Classify(p, c.IDs)
	if err == nil && len(c.IDs) == 0 && !c.Anonymous {
		err = &trackway.Error{Code: trackway.Invalid, Field: "customer_ids", Reason: trackway.Nobody}
	}
	return err
}

// Classify trims the identifiers and marks each as hard or soft, in place. It
// returns those that count. It drops repetitions, and lists identifiers that
// name nobody separately. It refuses names that the project does not have,
// several values of a hard identifier, and values that are too long.
func Classify(p *trackway.Project, ids []trackway.Identifier) (kept []trackway.Identifier, left []trackway.Identifier, refused *trackway.Error) {
	kept = ids[:0:len(ids)]
	for i := range ids {
		id := &ids[i]
		if err := classify(p, id); err != nil {
			return nil, left, err
		}
		if one, is := p.LeavesOut(*id); is {
			left = append(left, one)
		} else if !slices.Contains(kept, *id) {
			if most := mostOf(*id); most <= countNamed(kept, id.Name) {
				return nil, left, over("customer_ids."+id.Name, trackway.OverValues, most, most+1)
			}
			kept = append(kept, *id)
			continue
		}
		if len(kept) == i { // the first to drop: leave the caller's slice unchanged
			kept = append(make([]trackway.Identifier, 0, len(ids)-1), kept...)
		}
	}
	return kept, left, nil
}

// mostOf returns how many values of an identifier's name one command may carry.
func mostOf(id trackway.Identifier) int {
	if id.Hard {
		return 1
	}
	return trackway.MaxSoftIDs
}

func countNamed(ids []trackway.Identifier, name string) (n int) {
	for i := range ids {
		if ids[i].Name == name {
			n++
		}
	}
	return n
}

// classify trims an identifier and marks it as hard or soft. Its name becomes
// the project's own text, so that metrics and reports may keep it: that of the
// command is a part of the request's body.
func classify(p *trackway.Project, id *trackway.Identifier) *trackway.Error {
	id.Value = id.Trimmed().Value
	if at := slices.Index(p.Hard, id.Name); at >= 0 {
		id.Name, id.Hard = p.Hard[at], true
	} else if at := slices.Index(p.Soft, id.Name); at >= 0 {
		id.Name, id.Hard = p.Soft[at], false
	} else {
		return expected("customer_ids", strings.Join(slices.Concat(p.Hard, p.Soft), " or ")+", got "+strconv.Quote(excerpt.Of(id.Name, 64)))
	}
	if len(id.Value) > trackway.MaxIDBytes {
		return over("customer_ids."+id.Name, trackway.LongText, trackway.MaxIDBytes, len(id.Value))
	}
	return nil
}
