// Package ask parses the query of a URL. It refuses everything that it does not
// understand, with an error that names the parameter and what was expected. It
// knows nothing about the subject of a query.
package ask

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/excerpt"
	"trackway/internal/iso8601"
)

// Invalid returns the error for a wrong parameter, with what was expected.
func Invalid(field, expected string) error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Expected, What: expected}
}

// Parse parses a query. It refuses unknown parameters. Only type may occur
// several times.
func Parse(query string, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, Invalid("query", "a well-formed query in the URL")
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			return nil, Invalid(cmp.Or(excerpt.Of(strings.ToValidUTF8(name, ""), 40), "query"), "nothing: "+parametersAre(known))
		}
		if len(all) > 1 && name != "type" {
			return nil, Invalid(name, "one value")
		}
	}
	return values, nil
}

// Instant returns a parameter that is a time: Unix seconds, or ISO 8601. If it
// is missing, Instant returns absent.
func Instant(values url.Values, name string, absent trackway.Micros) (trackway.Micros, error) {
	text := values.Get(name)
	if !values.Has(name) {
		return absent, nil
	}
	if m, ok := parseInstant(text); ok && m >= trackway.MinTime && m <= trackway.MaxTime {
		return m, nil
	}
	return 0, Invalid(name, "Unix seconds or ISO 8601, such as 1795305600, 2026-11-22 or 2026-11-22T00:00:00Z, from 1970 to 2200")
}

func parseInstant(text string) (trackway.Micros, bool) {
	if whole, frac, _ := strings.Cut(text, "."); isDigits(whole) && (frac == "" || isDigits(frac)) && len(frac) <= 6 {
		seconds, err := strconv.ParseInt(whole, 10, 40)
		micros, _ := strconv.ParseInt((frac + "000000")[:6], 10, 64) // only digits
		return trackway.Micros(seconds*1e6 + micros), err == nil && !strings.HasSuffix(text, ".")
	}
	if at, ok := iso8601.Parse(text); ok {
		return at, true
	}
	// A plus sign that was not escaped is a space in a query. That of the
	// offset is the last one.
	if i := strings.LastIndexByte(text, ' '); i >= 0 {
		return iso8601.Parse(text[:i] + "+" + text[i+1:])
	}
	return 0, false
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// Choice returns a parameter that must be one of several words. If it is
// missing, Choice returns the first of them.
func Choice(values url.Values, name string, words ...string) (string, error) {
	if !values.Has(name) {
		return words[0], nil
	}
	if word := values.Get(name); slices.Contains(words, word) {
		return word, nil
	}
	return "", Invalid(name, strings.Join(words, " or "))
}

// Flag returns a parameter that must be true or false. If it is missing, Flag
// returns false.
func Flag(values url.Values, name string) (bool, error) {
	switch value := values.Get(name); {
	case value == "true":
		return true, nil
	case value == "false", !values.Has(name):
		return false, nil
	}
	return false, Invalid(name, "true or false")
}

// Number returns a parameter that must be a whole number from 1 to most.
func Number(values url.Values, name string, absent, most int) (int, error) {
	if !values.Has(name) {
		return absent, nil
	}
	n, err := strconv.Atoi(values.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, Invalid(name, fmt.Sprintf("a whole number from 1 to %d", most))
	}
	return n, nil
}

const maxTypes = 50

// Types returns the event types in the query. An empty list means all types.
func Types(values url.Values) ([]string, error) {
	types := values["type"]
	if len(types) > maxTypes {
		return nil, Invalid("type", "at most "+strconv.Itoa(maxTypes)+" types")
	}
	for _, t := range types {
		if t == "" || len(t) > trackway.MaxTypeBytes {
			return nil, Invalid("type", "a type of event, which has 1 to "+strconv.Itoa(trackway.MaxTypeBytes)+" bytes")
		}
	}
	return types, nil
}

// TypesFor returns the event types in a query that may have nothing else, and
// which types a key may read: nil means all.
func TypesFor(key *trackway.Key, query string) (types []string, may func(typ string) bool, err error) {
	values, err := Parse(query, "type")
	if err != nil {
		return nil, nil, err
	}
	if types, err = Types(values); err == nil && key.Restricted(trackway.GetEvents) {
		may = func(typ string) bool { return key.MayName(trackway.GetEvents, typ) }
	}
	return types, may, err
}

// Span returns a range of times: from since up to, but not including, until.
func Span(values url.Values) (since, until trackway.Micros, err error) {
	if since, err = Instant(values, "since", 0); err != nil {
		return 0, 0, err
	}
	if until, err = Instant(values, "until", 0); err != nil {
		return 0, 0, err
	}
	if values.Has("until") && until <= since {
		return 0, 0, Invalid("until", "a time after since")
	}
	return since, until, nil
}

func parametersAre(known []string) string {
	if len(known) == 0 {
		return "there are no parameters"
	}
	return "the parameters are " + strings.Join(known, ", ")
}
