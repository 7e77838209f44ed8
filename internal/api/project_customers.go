package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/api/permit"
	"trackway/internal/api/record"
	"trackway/internal/ask"
	"trackway/internal/query"
	"trackway/internal/query/page"
)

const shownMerges = 1000

// customers answers a page of the project's customers.
func (c *reading) customers() error {
	values, err := ask.Parse(c.r.URL.RawQuery, append([]string{"q"}, ask.ListParameters...)...)
	if err != nil {
		return err
	}
	l, err := ask.ListOf(values)
	if err != nil {
		return err
	}
	f, err := c.search(values.Get("q"))
	if err != nil {
		return err
	}
	if f.Prefix != "" && values.Has("order") {
		return ask.Invalid("order", "nothing where q is the beginning of an identifier: those come in order of that")
	}
	f.NewestFirst, f.Cursor, f.Skip, f.Limit = l.Newest, page.Cursor(l.Cursor), l.Skip(), l.Rows
	tag := c.versionTag()
	if c.has(tag, privateCache) {
		return nil
	}
	var b []byte
	err = c.question(func(ctx context.Context, s query.Snapshot) error {
		found, err := page.Customers(ctx, s, c.grant.Project.Number, f)
		if err != nil {
			return err
		}
		records := int64(-1)
		if values.Get("q") == "" {
			total, err := query.Total(s, c.grant.Project.Number)
			if err != nil {
				return err
			}
			records = int64(total.Customers())
		}
		if !found.Complete {
			tag = ""
		}
		b, err = c.customerPage(l, &found, records)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerTagged(tag, privateCache, b)
}

// search returns the search that a text describes. It covers only what the key
// may read, because a match shows that something exists.
func (c *reading) search(text string) (page.Search, error) {
	hidden := func(name string) bool { return !permit.Get(c.grant.Key, name) }
	names := slices.Concat(c.grant.Project.Hard, c.grant.Project.Soft)
	f := page.ParseSearch(text, slices.DeleteFunc(names, hidden))
	if f.Property != "" && hidden(f.Property) {
		return f, permit.NotFor("q", "read the property", f.Property)
	}
	return f, nil
}

func (c *reading) customerPage(l ask.List, found *page.CustomerList, records int64) ([]byte, error) {
	if err := l.Reached(found.Complete, len(found.Rows)); err != nil {
		return nil, err
	}
	b := l.AppendEnvelope(nil, records)
	for i, row := range found.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		row = permit.Visible(c.grant.Key, row)
		b = record.AppendCustomer(b, row)
	}
	return ask.AppendEnd(b, string(found.Next), found.Complete), nil
}

// named returns the customer that the path names, by name=value of an
// identifier or by a number, which may be that of an absorbed customer.
func (c *reading) named(s query.Snapshot) (trackway.Customer, error) {
	text := c.r.PathValue("id")
	names := slices.Concat(c.grant.Project.Hard, c.grant.Project.Soft)
	number, err := strconv.ParseUint(text, 10, 64)
	if name, value, _ := strings.Cut(text, "="); slices.Contains(names, name) {
		var customer trackway.Customer
		customer, err = c.findToRead(s, []trackway.Identifier{{Name: name, Value: value}})
		if !errors.Is(err, errNobody) {
			return customer, err
		}
	}
	if err != nil {
		return 0, ask.Invalid("id", "the number of a customer, or name=value of an identifier: "+strings.Join(names, ", "))
	}
	customer, err := s.Survivor(c.grant.Project.Number, trackway.Customer(number))
	if err == nil && customer == 0 {
		return 0, errNoCustomer
	}
	return customer, err
}

// customer answers with a customer and the merges that formed it.
func (c *reading) customer() error {
	if _, err := ask.Parse(c.r.URL.RawQuery); err != nil {
		return err
	}
	tag := c.versionTag()
	if c.has(tag, privateCache) {
		return nil
	}
	var b []byte
	err := c.question(func(ctx context.Context, s query.Snapshot) error {
		customer, err := c.named(s)
		if err != nil {
			return err
		}
		p, err := s.Profile(c.grant.Project.Number, customer)
		if err != nil {
			return err
		}
		var merges []page.Merge
		if !c.grant.Key.Restricted(trackway.GetCustomers) { // they tell of all identifiers
			if merges, err = page.Merges(ctx, s, c.grant.Project.Number, customer, shownMerges); err != nil {
				return err
			}
		}
		p = permit.Visible(c.grant.Key, p)
		if ctx.Err() != nil {
			tag = "" // there may be more
		}
		b = record.AppendHistory(nil, p, merges)
		return nil
	})
	if err != nil {
		return err
	}
	return c.answerTagged(tag, privateCache, b)
}
