package config

import (
	"fmt"
	"slices"
	"strings"
)

// doc is a configuration while it is being read: the values, the place of each,
// and what is wrong with them.
//
// The library's own strict decoding was not taken for two reasons: it stops at
// the first error, and it shows the source around it, which is where the secrets
// are.
type doc struct {
	name     string                      // of the operator's file
	lookup   func(string) (string, bool) // answers for the environment
	file     file
	managed  managed
	holders  []holder      // the projects of file, in its order, then those that only managed knows
	places   map[any]place // by the address of the value, so that a check names the place as it names the value: &p.Limit
	problems InvalidError
	warnings []Problem
}

// place is where a value was given.
type place struct {
	file         string // empty: by a flag
	line, column int
	field        string
	text         string // as it may be shown
	bad          bool   // a problem was reported: further ones would only repeat it
}

func newDoc(name string, lookup func(string) (string, bool)) *doc {
	return &doc{name: name, lookup: lookup, places: make(map[any]place)}
}

// given tells whether the value at an address is in a file, right or wrong, or
// was set by a flag.
func (d *doc) given(at any) bool {
	_, ok := d.places[at]
	return ok
}

// good tells whether no problem is known of the values at some addresses.
func (d *doc) good(at ...any) bool {
	return !slices.ContainsFunc(at, func(at any) bool { return d.places[at].bad })
}

// report notes what is wrong with the value at an address, once for each value.
// If the value was not given, it has no place, and the problem belongs to the
// file as a whole.
func (d *doc) report(at any, format string, args ...any) {
	d.missing(at, format, args...)
	p := d.places[at]
	p.bad = true
	d.places[at] = p
}

// missing is report for something that the thing at an address lacks. A thing
// may lack several; it stays good.
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

// warn notes what is unwise about the value at an address.
func (d *doc) warn(at any, msg string) { d.warnings = append(d.warnings, d.places[at].problem(msg)) }

func (p place) problem(msg string) Problem {
	return Problem{File: p.file, Line: p.line, Column: p.column, Field: p.field, Text: p.text, Msg: msg}
}

// reportAll notes what a [Check] found, with its places. A value that is not in
// the file gets the place of the thing that lacks it, unless that thing has
// another problem already: this one may only follow from it.
func (d *doc) reportAll(found []Problem) {
	for _, f := range found {
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

// at returns the address of the value of a field in the operator's file, nil if it
// is not there.
func (d *doc) at(field string) any {
	for at, p := range d.places {
		if p.field == field && p.file == d.name {
			return at
		}
	}
	return nil
}

// conceal keeps the text of the value at an address out of problems.
func (d *doc) conceal(at any) {
	p := d.places[at]
	p.text = ""
	d.places[at] = p
}

// set sets a value by a flag, unless the flag is empty.
func (d *doc) set(dst *string, value, flag string) {
	if value == "" {
		return
	}
	*dst = value
	d.places[dst] = place{field: flag, text: quoted(value)}
}
