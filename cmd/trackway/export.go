package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/control"
	"trackway/internal/durable"
	"trackway/internal/iso8601"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type exportCommand struct {
	dataFlags
	projectFlag

	Customers bool     `help:"Export customers, with their identifiers and properties."`
	Events    bool     `help:"Export events. Without either flag, both are exported."`
	Format    string   `enum:",ndjson,csv,parquet" default:"" help:"ndjson, csv or parquet (by default, the file's name decides, or else ndjson)." placeholder:"FORMAT"`
	Output    string   `help:"File to write, which appears once it is complete (standard output)." placeholder:"FILE" short:"o"`
	Since     string   `help:"Events from this time on, such as 2026-01-01 or 2026-01-01T12:00:00Z." placeholder:"TIME"`
	Until     string   `help:"Events before this time." placeholder:"TIME"`
	Type      []string `help:"Events of this type." placeholder:"TYPE" sep:"none"`
	Quiet     bool     `help:"Print no progress." short:"q"`
}

// Run exports a consistent view of a project.
func (c *exportCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	query, err := c.query()
	if err != nil {
		return err
	}
	return c.with(ctx, out, false, func(client *http.Client) error {
		answer, fields, err := running.ControlWith(ctx, client, http.MethodGet, "/export", query, nil, 0)
		if err != nil {
			return err
		}
		defer answer.Close()
		if c.Output == "" {
			_, err = io.Copy(out.stdout, answer)
		} else {
			err = c.save(out, answer)
		}
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was exported")
		} else if err != nil {
			return fmt.Errorf("the export is not complete, and the server's log says why: %w", err)
		}
		if fields.Get(control.UnsureField) != "" {
			terminal.Say(out.stderr, "No server of the cluster has answered that surely has all: what came last may be missing.\n")
		}
		return nil
	})
}

// query returns the parameters for the control socket.
func (c *exportCommand) query() (url.Values, error) {
	if !c.Customers && !c.Events {
		c.Customers, c.Events = true, true
	}
	if c.Format == "" {
		c.Format = "ndjson"
		if ext := strings.TrimPrefix(filepath.Ext(c.Output), "."); ext == "csv" || ext == "parquet" {
			c.Format = ext
		}
	}
	if c.Format == "parquet" && c.Output == "" {
		return nil, errors.New("an export as Parquet needs a file: name it with -o FILE")
	}
	query := url.Values{
		"project": {c.Project}, "format": {c.Format}, "type": c.Type,
		"customers": {strconv.FormatBool(c.Customers)}, "events": {strconv.FormatBool(c.Events)},
	}
	for _, bound := range [][2]string{{"since", c.Since}, {"until", c.Until}} {
		if bound[1] == "" {
			continue
		}
		at, err := parseTime(bound[1])
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", bound[0], err)
		}
		query.Set(bound[0], strconv.FormatInt(int64(trackway.MicrosOf(at)), 10))
	}
	return query, nil
}

// parseTime parses a day, which means its first moment in UTC, or a time, as
// package iso8601 does.
func parseTime(text string) (time.Time, error) {
	at, ok := iso8601.Parse(text)
	if !ok {
		return time.Time{}, fmt.Errorf("%q is not a time such as 2026-01-01 or 2026-01-01T12:00:00Z", text)
	}
	return at.Time(), nil
}

// save writes the file. The file gets its name only once it is complete and on
// the disk.
func (c *exportCommand) save(out output, from io.Reader) error {
	const ownerOnly = 0o600 // the file holds customers' data
	began := time.Now()
	w := &written{p: terminal.NewProgress(out.stderr, c.Quiet, filepath.Base(c.Output), began)}
	err := durable.ReplaceWith(c.Output, ownerOnly, func(file io.Writer) error {
		defer w.p.Done()
		w.w = file
		_, err := io.Copy(w, from)
		return err
	})
	if err == nil && !c.Quiet {
		terminal.Say(out.stderr, "%s: %s in %v.\n", c.Output, terminal.Size(w.n), time.Since(began).Round(time.Millisecond))
	}
	return err
}

// written counts what is written.
type written struct {
	w io.Writer
	p *terminal.Progress
	n int64
}

func (w *written) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.n += int64(n)
	w.p.Wrote(time.Now(), w.n)
	return n, err
}
