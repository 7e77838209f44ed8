package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"trackway/internal/control"
	"trackway/internal/destination/verify"
)

type destinationsVerifyCommand struct {
	destinationFlags
	nameArg

	Mend  bool   `help:"Repair the differences, and compare again."`
	From  uint64 `help:"Compare the changes from this number on (from where the destination began)." placeholder:"NUMBER"`
	Quiet bool   `help:"Print no progress." short:"q"`
}

// Run compares a destination with the log. It fails if there are differences,
// even after mending.
func (c *destinationsVerifyCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	query := url.Values{"name": {c.Name}, "mend": {strconv.FormatBool(c.Mend)}}
	if c.From > 0 {
		query.Set("from", strconv.FormatUint(c.From, 10))
	}
	return c.with(ctx, out, false, func(client *http.Client) error {
		answer, err := call(ctx, client, http.MethodPost, "/destinations/verify", query, nil, 0)
		if err != nil {
			return err
		}
		defer answer.Close()
		report, err := c.follow(out, answer)
		switch {
		case ctx.Err() != nil:
			return errors.New("interrupted")
		case err != nil:
			return err
		case c.JSON:
			err = printIndented(out.stdout, report)
		default:
			err = report.Print(out.stdout, c.Name)
		}
		if err == nil && !report.Fine() {
			err = fmt.Errorf("%s differs from the log", c.Name)
		}
		return err
	})
}

// follow shows the progress, and returns the report.
func (c *destinationsVerifyCommand) follow(out output, answer io.Reader) (*verify.Report, error) {
	shown := newProgress(out.stderr, c.Quiet, c.Name, time.Now())
	defer shown.done()
	for d := json.NewDecoder(answer); ; {
		var line control.Line
		if err := d.Decode(&line); err != nil {
			return nil, fmt.Errorf("the server's answer was cut off, and its log says why: %w", err)
		}
		switch {
		case line.Error != "":
			return nil, fmt.Errorf("not finished: %s", line.Error)
		case line.Report != nil:
			return line.Report, nil
		case shown.due(time.Now()):
			shown.show(fmt.Sprintf("%s: compared up to change %d of %d", c.Name, line.Through, line.Last))
		}
	}
}
