package config

import (
	"fmt"
	"slices"
	"strings"

	"trackway/internal/config/scalar"
)

// doc is a configuration while it is being read: the values, their places, and
// the mistakes found so far.
//
// We do not use the library's own strict decoding, for two reasons: it stops at
// the first error, and it prints the source around the error, where the secrets
// are.
type doc struct {
	surroundings

	name     string // the operator's file
	file     file
	managed  managed
	holders  []holder      // the projects of file in its order, then those that only managed has
	places   map[any]place // by the address of the value: checks write &p.Limit for the place too
	problems InvalidError
	warnings []Problem
}

// place is where a value came from.
type place struct {
	file         string // empty if a flag set the value
	line, column int
	field        string
	text         string // in the form that may be shown
	bad          bool   // a problem was reported, and further ones would only repeat it
}

func newDoc(name string, from surroundings) *doc {
	return &doc{name: name, surroundings: from, places: make(map[any]place)}
}

// given reports whether a file (even with a wrong value) or a flag sets the
// value at an address.
func (d *doc) given(at any) bool {
	_, ok := d.places[at]
	return ok
}

// good reports whether no problem is known with the values at some addresses.
func (d *doc) good(at ...any) bool {
	return !slices.ContainsFunc(at, func(at any) bool { return d.places[at].bad })
}

// report adds a problem with the value at an address, at most one for each
// value. A value that was not given has no place, so its problem belongs to the
// file as a whole.
func (d *doc) report(at any, format string, args ...any) {
	d.missing(at, format, args...)
	p := d.places[at]
	p.bad = true
	d.places[at] = p
}

// missing reports what the thing at an address lacks. The thing may lack
// several; it stays good.
func (d *doc) missing(at any, format string, args ...any) {
	p, ok := d.places[at]
	if p.bad {
		return
	}
	if !ok {
		p.file = d.name
	}
	d.problems = append(d.problems, p.problem(fmt.Sprintf(format, args...)))
}

// warn adds a warning about the value at an address.
func (d *doc) warn(at any, msg string) { d.warnings = append(d.warnings, d.places[at].problem(msg)) }

func (p place) problem(msg string) Problem {
	return Problem{File: p.file, Line: p.line, Column: p.column, Field: p.field, Text: p.text, Msg: msg}
}

// reportAll adds the places to problems that a [Check] found, and reports them.
// A problem with a value that is not in the file gets the place of the thing
// that should contain it. A problem is left out if its thing, or a setting of
// it, has another one already: it may only be a consequence of that.
func (d *doc) reportAll(found []Problem) {
	for _, f := range found {
		if slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Field == f.Field || isSettingOf(f.Field, p.Field) }) {
			continue
		}
		if at := d.at(f.Field); at != nil {
			d.report(at, "%s", f.Msg)
			continue
		}
		within := f.Field
		for within != "" && d.at(within) == nil {
			within = within[:max(strings.LastIndexByte(within, '.'), 0)]
		}
		if slices.ContainsFunc(d.problems, func(p Problem) bool { return strings.HasPrefix(p.Field, within) }) {
			continue
		}
		p := d.places[d.at(within)]
		p.file, p.field, p.text = d.name, f.Field, ""
		d.problems = append(d.problems, p.problem(f.Msg))
	}
}

// isSettingOf reports whether a field is a setting of a thing, such as
// destinations[0].url of destinations[0], and not a part of a setting.
func isSettingOf(thing, field string) bool {
	name, ok := strings.CutPrefix(field, thing+".")
	return ok && !strings.ContainsAny(name, ".[")
}

// at returns the address of the value of a field in the operator's file, or nil
// if the file does not have it.
func (d *doc) at(field string) any {
	for at, p := range d.places {
		if p.field == field && p.file == d.name {
			return at
		}
	}
	return nil
}

// conceal keeps the value at an address out of the texts of problems.
func (d *doc) conceal(at any) {
	p := d.places[at]
	p.text = ""
	d.places[at] = p
}

// set sets a value from a flag. An empty flag changes nothing.
func (d *doc) set(dst *string, value, flag string) {
	if value == "" {
		return
	}
	*dst = value
	d.places[dst] = place{field: flag, text: scalar.Quoted(value)}
}
