package control

import (
	"bufio"
	"errors"
	"strconv"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/export"
)

// writeBuffer is how many bytes of a file are collected before they are sent.
const writeBuffer = 64 << 10

// export answers a file.
func (c *call) export() (err error) {
	p, err := c.project()
	if err != nil {
		return err
	}
	f := export.Filter{
		Customers: c.query.Get("customers") == "true", Events: c.query.Get("events") == "true", Types: c.query["type"],
	}
	if f.Since, err = c.micros("since"); err != nil {
		return err
	}
	if f.Until, err = c.micros("until"); err != nil {
		return err
	}
	if err := c.takesOut(p, c.query.Get("format")); err != nil {
		return err
	}
	c.as("application/octet-stream")
	out := bufio.NewWriterSize(c, writeBuffer)
	table, err := export.New(c.query.Get("format"), out, p, f)
	if err != nil {
		return err
	}
	s := c.Store.Snapshot()
	defer func() { err = errors.Join(err, s.Close()) }()
	err = export.Run(c.r.Context(), s, p, f, table)
	if lost := (*export.LostError)(nil); err != nil && !errors.As(err, &lost) {
		return err
	}
	return errors.Join(err, out.Flush()) // if some events are lost, the others are not
}

// micros returns the time in a parameter of the call, in microseconds. It
// returns 0 if the parameter is missing.
func (c *call) micros(field string) (trackway.Micros, error) {
	text := c.query.Get(field)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, ask.Invalid(field, "microseconds since 1970")
	}
	return trackway.Micros(n), nil
}
