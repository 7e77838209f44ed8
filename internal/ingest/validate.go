package ingest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"trackway"
)

// Validate checks a command against the rules of the domain and the project's identifiers, classifies its identifiers as
// hard or soft and drops repeated ones. It is pure but for that. The error is meant for the client.
func Validate(p *trackway.Project, c *trackway.Command) *trackway.Error {
	if err := validateIDs(p, c); err != nil {
		return err
	}
	if c.Kind == trackway.AddEvent {
		if err := validateEvent(c); err != nil {
			return err
		}
	}
	if c.Time < trackway.MinTime || c.Time > trackway.MaxTime {
		return refuse("timestamp", "expected a time in the years 1970 to 2200")
	}
	return validateProperties(c)
}

func validateEvent(c *trackway.Command) *trackway.Error {
	switch {
	case c.Type == "":
		return &trackway.Error{Code: trackway.Invalid, Field: "event_type", Msg: "Field 'event_type' is required."}
	case len(c.Type) > trackway.MaxTypeBytes:
		return refuse("event_type", fmt.Sprintf("expected at most %d bytes, got %d", trackway.MaxTypeBytes, len(c.Type)))
	case c.Bytes > trackway.MaxEventBytes:
		return &trackway.Error{
			Code: trackway.TooLarge, Field: "properties",
			Msg: fmt.Sprintf("An event may have at most %d bytes, this one has %d.", trackway.MaxEventBytes, c.Bytes),
		}
	}
	return nil
}

// validateProperties bounds names, and a customer's values one by one: all of
// them are read together with the customer. An event's are bounded by the
// event.
func validateProperties(c *trackway.Command) *trackway.Error {
	for i := range c.Properties {
		p := &c.Properties[i]
		if len(p.Name) > trackway.MaxNameBytes {
			return refuse("properties", fmt.Sprintf("expected names of at most %d bytes, got one of %d", trackway.MaxNameBytes, len(p.Name)))
		}
		if c.Kind == trackway.UpdateCustomer && len(p.Value) > trackway.MaxValueBytes {
			return refuse("properties."+p.Name, fmt.Sprintf("expected at most %d bytes of JSON, got %d", trackway.MaxValueBytes, len(p.Value)))
		}
	}
	return nil
}

// refuse returns the error for a field that is not as expected.
func refuse(field, expected string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: fmt.Sprintf("Field '%s': %s.", field, expected)}
}

// validateIDs asks for at least one identifier, but of an anonymous command, and classifies what there is.
func validateIDs(p *trackway.Project, c *trackway.Command) (err *trackway.Error) {
	if len(c.IDs) == 0 && !c.Anonymous {
		return &trackway.Error{Code: trackway.Invalid, Field: "customer_ids", Msg: "At least one id should be specified."}
	}
	c.IDs, err = Classify(p, c.IDs)
	return err
}

// Classify marks each identifier as hard or soft, in place, and returns them without repetitions. It refuses names that the
// project does not have, several values of a hard one, and values that identify nobody.
func Classify(p *trackway.Project, ids []trackway.Identifier) ([]trackway.Identifier, *trackway.Error) {
	kept := ids[:0]
	for _, id := range ids {
		if err := classify(p, &id); err != nil {
			return nil, err
		}
		if slices.Contains(kept, id) {
			continue
		}
		if most := mostOf(id); most <= countNamed(kept, id.Name) {
			return nil, refuse("customer_ids."+id.Name, fmt.Sprintf("expected at most %d, got more", most))
		}
		kept = append(kept, id)
	}
	return kept, nil
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

func classify(p *trackway.Project, id *trackway.Identifier) *trackway.Error {
	switch {
	case slices.Contains(p.Hard, id.Name):
		id.Hard = true
	case slices.Contains(p.Soft, id.Name):
		id.Hard = false
	default:
		return refuse("customer_ids", "expected "+strings.Join(slices.Concat(p.Hard, p.Soft), " or ")+", got "+strconv.Quote(shorten(id.Name)))
	}
	field := "customer_ids." + id.Name
	if len(id.Value) > trackway.MaxIDBytes {
		return refuse(field, fmt.Sprintf("expected at most %d bytes, got %d", trackway.MaxIDBytes, len(id.Value)))
	}
	if id.Value == "null" || id.Value == "undefined" || !strings.ContainsFunc(id.Value, isAlphanumeric) {
		return refuse(field, "expected an id with at least one letter or digit that is not 'null' or 'undefined'")
	}
	return nil
}

// shorten keeps an error short where it repeats what the client sent.
func shorten(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func isAlphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
