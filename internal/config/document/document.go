// Package document reads a YAML text into structs, and remembers where each
// value came from, so that a mistake can be reported with its place.
//
// We do not use the library's own strict decoding, for two reasons: it stops at
// the first error, and it prints the source around the error, where the secrets
// are.
package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"trackway/internal/config/problem"
	"trackway/internal/config/scalar"
)

// Doc is a configuration while it is being read: the places of its values, and
// the mistakes found so far.
type Doc struct {
	Name     string        // of the file, or what stands in for it
	Places   map[any]Place // by the address of the value: checks write &p.Limit for the place too
	Problems problem.InvalidError
	Warnings []problem.Problem
}

// Place is where a value came from.
type Place struct {
	File         string // or an environment variable; empty if a flag set the value
	Line, Column int    // 0: the variable as a whole
	Field        string
	Text         string // in the form that may be shown
	Bad          bool   // a problem was reported, and further ones would only repeat it

	Node ast.Node // the value as it is written; nil if a flag or a text set it
}

// New returns a document without values.
func New(name string) *Doc { return &Doc{Name: name, Places: make(map[any]Place)} }

// Part returns a document of another name whose values are in the same structs.
// It has problems of its own.
func (d *Doc) Part(name string) *Doc { return &Doc{Name: name, Places: d.Places} }

// Given reports whether a file (even with a wrong value), a variable or a flag
// sets the value at an address.
func (d *Doc) Given(at any) bool {
	_, ok := d.Places[at]
	return ok
}

// Good reports whether no problem is known with the values at some addresses.
func (d *Doc) Good(at ...any) bool {
	return !slices.ContainsFunc(at, func(at any) bool { return d.Places[at].Bad })
}

// Report adds a problem with the value at an address, at most one for each
// value. A value that was not given has no place, so its problem belongs to the
// file as a whole.
func (d *Doc) Report(at any, format string, args ...any) {
	d.Missing(at, format, args...)
	p := d.Places[at]
	p.Bad = true
	d.Places[at] = p
}

// Missing reports what the thing at an address lacks. The thing may lack
// several; it stays good.
func (d *Doc) Missing(at any, format string, args ...any) {
	p, ok := d.Places[at]
	if p.Bad {
		return
	}
	if !ok {
		p.File = d.Name
	}
	d.Problems = append(d.Problems, p.Problem(fmt.Sprintf(format, args...)))
}

// Warn adds a warning about the value at an address.
func (d *Doc) Warn(at any, msg string) { d.Warnings = append(d.Warnings, d.Places[at].Problem(msg)) }

// Problem returns a problem with the value at this place.
func (p Place) Problem(msg string) problem.Problem {
	return problem.Problem{File: p.File, Line: p.Line, Column: p.Column, Field: p.Field, Text: p.Text, Msg: msg}
}

// ReportAll adds the places to problems that have a Field and a Msg only, and
// reports them. A problem with a value that is not in the document gets the
// place of the thing that should contain it. A problem is left out if its
// thing, or a setting of it, has another one already: it may only be a
// consequence of that. A problem with a whole file is never one with the file
// except.
func (d *Doc) ReportAll(found []problem.Problem, except string) {
	for _, f := range found {
		if slices.ContainsFunc(d.Problems, func(p problem.Problem) bool { return p.Field == f.Field || isSettingOf(f.Field, p.Field) }) {
			continue
		}
		if at := d.at(f.Field, except); at != nil {
			d.Report(at, "%s", f.Msg)
			continue
		}
		within := f.Field
		for within != "" && d.at(within, except) == nil {
			within = within[:max(strings.LastIndexByte(within, '.'), 0)]
		}
		if slices.ContainsFunc(d.Problems, func(p problem.Problem) bool { return strings.HasPrefix(p.Field, within) }) {
			continue
		}
		p := d.Places[d.at(within, except)]
		p.File, p.Field, p.Text = cmp.Or(p.File, d.Name), f.Field, ""
		d.Problems = append(d.Problems, p.Problem(f.Msg))
	}
}

// isSettingOf reports whether a field is a setting of a thing, such as
// destinations[0].url of destinations[0], and not a part of a setting.
func isSettingOf(thing, field string) bool {
	name, ok := strings.CutPrefix(field, thing+".")
	return ok && !strings.ContainsAny(name, ".[")
}

// at returns the address of the value of a field, or nil if it was not given.
func (d *Doc) at(field, except string) any {
	for at, p := range d.Places {
		if p.Field == field && (field != "" || p.File != except) {
			return at
		}
	}
	return nil
}

// Conceal keeps the value at an address out of the texts of problems.
func (d *Doc) Conceal(at any) {
	p := d.Places[at]
	p.Text = ""
	d.Places[at] = p
}

// Set sets a value from a flag. An empty flag changes nothing.
func (d *Doc) Set(dst *string, value, flag string) {
	if value == "" {
		return
	}
	*dst = value
	d.Places[dst] = Place{Field: flag, Text: scalar.Quoted(value)}
}

// Unique reports a value that occurred before, with its first place. A missing
// value is not a repetition.
func Unique[T ~string](d *Doc, seen map[string]any, at *T) {
	if *at == "" || !d.Good(at) {
		return
	}
	if before, ok := seen[string(*at)]; ok {
		d.Report(at, "is %s already", d.Locate(before, at))
		return
	}
	seen[string(*at)] = at
}

// Locate returns the place of a value for a message about another one. It
// includes the file if that differs.
func (d *Doc) Locate(at, other any) string {
	p := d.Places[at]
	switch {
	case p.Line == 0:
		return fmt.Sprintf("%s (%s)", p.Field, p.File)
	case p.File != d.Places[other].File:
		return fmt.Sprintf("%s (line %d of %s)", p.Field, p.Line, p.File)
	}
	return fmt.Sprintf("%s (line %d)", p.Field, p.Line)
}
