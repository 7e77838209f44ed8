package page

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// Search says which customers of a project to find. The zero value finds all of
// them, oldest first.
type Search struct {
	// Names are the names of the project's identifiers. A search for
	// identifiers goes through them in this order.
	Names []string

	// Prefix finds customers by the beginning of an identifier's value. They
	// are sorted by the identifier's name, in the order of Names, and then by
	// the bytes of its value; NewestFirst does not apply.
	Prefix string

	// Property and Value find customers whose property has this value: a
	// string, or the JSON of any other value. If Property is one of Names, they
	// find the customer with that identifier.
	Property, Value string

	NewestFirst bool
	Cursor      Cursor
	Skip        int // rows
	Limit       int // rows, at least 1
}

// ParseSearch parses a search: name=value is a property or an identifier,
// anything else is the beginning of an identifier's value. Identifiers are
// trimmed, as they are when they are stored. Pasted text often ends in white
// space. Somebody who searches for a first word with the space after it finds
// too much, but also what they look for.
func ParseSearch(text string, names []string) Search {
	s := Search{Names: names}
	if name, value, found := strings.Cut(text, "="); found && name != "" {
		if slices.Contains(names, name) {
			value = trimmed(value)
		}
		s.Property, s.Value = name, value
	} else {
		s.Prefix = trimmed(text)
	}
	return s
}

func trimmed(value string) string { return trackway.Identifier{Value: value}.Trimmed().Value }

// CustomerList is a page of the customers that a search finds.
type CustomerList struct {
	Rows     []*trackway.Profile
	Next     Cursor // empty at the end
	Searched int    // customers or identifiers examined
	Complete bool   // false if the deadline came first: there may be fewer rows than asked for
}

// Customers returns a page of the customers that f finds. If ctx ends, the page
// holds what was found until then. A page of large customers may have fewer
// rows than asked for, so use Next to find out whether more follow. Errors: a
// [trackway.Invalid] about a cursor; those of the store.
func Customers(ctx context.Context, s query.Snapshot, project uint32, f Search) (CustomerList, error) {
	p := customerPager{ctx: ctx, s: s, project: project, f: f, page: CustomerList{Complete: true}}
	var err error
	switch {
	case f.Property != "" && slices.Contains(f.Names, f.Property):
		err = p.byIdentifier()
	case f.Prefix != "":
		err = p.byPrefix()
	default:
		err = p.byNumber()
	}
	return p.page, err
}

// customerPager fills a page. It stops at the first customer for which it has
// no more room, so that Next is empty if no more customers follow.
type customerPager struct {
	ctx     context.Context //nolint:containedctx // lives no longer than the call
	s       query.Snapshot
	project uint32
	f       Search
	page    CustomerList
	last    Cursor // of the last customer examined
	bytes   int
	err     error
}

// late checks the deadline now and then.
func (p *customerPager) late() bool {
	p.page.Searched++
	if p.page.Searched%checkEvery != 0 || p.ctx.Err() == nil {
		return false
	}
	p.page.Complete, p.page.Next = false, p.last
	return true
}

// take adds a customer to the page, and reports whether to continue.
func (p *customerPager) take(c trackway.Customer) bool {
	if p.f.Skip > 0 {
		p.f.Skip--
		return true
	}
	if len(p.page.Rows) >= p.f.Limit || p.bytes > maxPage {
		p.page.Next = p.last
		return false
	}
	profile, err := p.s.Profile(p.project, c)
	if err != nil {
		p.err = err
		return false
	}
	p.page.Rows = append(p.page.Rows, profile)
	p.bytes += sizeOf(profile)
	return true
}

func sizeOf(p *trackway.Profile) (n int) {
	for i := range p.Properties {
		n += len(p.Properties[i].Name) + len(p.Properties[i].Value)
	}
	return n
}

// byNumber goes through all customers. If the search names a property, it reads
// that property of each.
func (p *customerPager) byNumber() error {
	after, err := p.f.Cursor.customer()
	if err != nil {
		return err
	}
	p.last = p.f.Cursor
	r := query.CustomerRange{After: after, NewestFirst: p.f.NewestFirst, Property: p.f.Property, Passed: p.pass}
	text, quoted := []byte(p.f.Value), canonjson.AppendString(nil, p.f.Value)
	err = p.s.Customers(p.project, r, func(c trackway.Customer, value []byte) bool {
		if p.late() {
			return false
		}
		matches := p.f.Property == "" || bytes.Equal(value, quoted) || value != nil && value[0] != '"' && bytes.Equal(value, text)
		if matches && !p.take(c) {
			return false
		}
		p.last = customerCursor(c)
		return true
	})
	if err == nil {
		err = p.err
	}
	return err
}

// pass notes an absorbed customer, and reports whether to continue.
func (p *customerPager) pass(c trackway.Customer) bool {
	if p.late() {
		return false
	}
	p.last = customerCursor(c)
	return true
}

// byIdentifier finds the one customer with an identifier.
func (p *customerPager) byIdentifier() error {
	p.page.Searched = 1
	c, err := p.s.Find(p.project, trackway.Identifier{Name: p.f.Property, Value: p.f.Value})
	if err == nil && c != 0 {
		p.take(c)
		err = p.err
	}
	return err
}

// byPrefix goes through the identifiers that begin with the prefix, name by
// name. A customer with several such identifiers is found only by the first
// one. The customer's profile tells which one is first, so this works across
// pages.
func (p *customerPager) byPrefix() error {
	name, after, err := p.f.Cursor.identifier()
	if err != nil {
		return err
	}
	p.last = p.f.Cursor
	first := 0
	if name != "" {
		if first = slices.Index(p.f.Names, name); first < 0 {
			return errCursor
		}
	}
	for _, name := range p.f.Names[first:] {
		more := true
		err := p.s.Identifiers(p.project, name, p.f.Prefix, after, func(value string, c trackway.Customer) bool {
			if more = !p.late() && p.takeFirst(c, name, value); more {
				p.last = identifierCursor(name, value)
			}
			return more
		})
		if err == nil {
			err = p.err
		}
		if err != nil || !more {
			return err
		}
		after = ""
	}
	return nil
}

// takeFirst takes a customer unless an earlier identifier has already found it.
func (p *customerPager) takeFirst(c trackway.Customer, name, value string) bool {
	profile, err := p.s.Profile(p.project, c)
	if err != nil {
		p.err = err
		return false
	}
	here := slices.Index(p.f.Names, name)
	for _, id := range profile.IDs {
		if !strings.HasPrefix(id.Value, p.f.Prefix) {
			continue
		}
		there := slices.Index(p.f.Names, id.Name)
		if there >= 0 && (there < here || there == here && id.Value < value) {
			return true
		}
	}
	return p.take(c)
}
