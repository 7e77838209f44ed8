package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/control"
)

type tailCommand struct {
	dataFlags
	projectFlag

	Type     []string `help:"Events of this type only." placeholder:"TYPE" sep:"none"`
	Customer string   `help:"Of one customer only, such as registered=jane@example.com." placeholder:"NAME=VALUE"`
	Since    string   `help:"Begin with those received from this time on: 10m ago, or a time such as 2026-01-01T12:00:00Z." placeholder:"TIME"`
	Last     int      `default:"10" help:"Begin with the last few (${default})." placeholder:"N"`
	JSON     bool     `help:"NDJSON, as an export writes it, also on a terminal." name:"json"`
}

// Run shows events until it is interrupted or the server stops.
func (c *tailCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	query := url.Values{"project": {c.Project}, "type": c.Type, "customer": {c.Customer}, "last": {strconv.Itoa(c.Last)}}
	if c.Since != "" {
		at, err := parseSince(c.Since, time.Now())
		if err != nil {
			return fmt.Errorf("--since: %w", err)
		}
		query.Set("since", strconv.FormatInt(int64(trackway.MicrosOf(at)), 10))
	}
	cfg, client, err := c.running(ctx)
	if errors.Is(err, control.ErrNobody) {
		return fmt.Errorf("no server runs on %s: there is nothing to watch", cfg.DataDir)
	} else if err != nil {
		return err
	}
	answer, err := call(ctx, client, http.MethodGet, "/tail", query, nil, 0)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := c.show(out.stdout, answer); err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() == nil {
		return errors.New("the server has stopped")
	}
	return nil
}

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := parseTime(text)
	if err != nil {
		return at, fmt.Errorf("%w, nor a duration such as 10m", err)
	}
	return at, nil
}

// show copies lines, for a person in a form that can be read.
func (c *tailCommand) show(w io.Writer, from io.Reader) error {
	if c.JSON || !isTerminal(w) {
		_, err := io.Copy(w, from)
		return err
	}
	for d := json.NewDecoder(from); ; {
		var e shownEvent
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, e.String()); err != nil {
			return err
		}
	}
}

// shownEvent is what is shown of a line of an export.
type shownEvent struct {
	Data struct {
		IDs        map[string]json.RawMessage `json:"customer_ids"`
		Type       string                     `json:"event_type"`
		Timestamp  float64                    `json:"timestamp"`
		Properties json.RawMessage            `json:"properties"`
	} `json:"data"`
}

// String returns "2026-11-22 05:06:07.123  purchase  registered=jane@example.com  {"total":7.99}".
func (e *shownEvent) String() string {
	var ids []string
	for name, value := range e.Data.IDs {
		ids = append(ids, name+"="+strings.Trim(string(value), `"`))
	}
	slices.Sort(ids)
	at := time.UnixMicro(int64(e.Data.Timestamp * 1e6)).Format("2006-01-02 15:04:05.000")
	return printable(fmt.Sprintf("%s  %s  %s  %s", at, e.Data.Type, strings.Join(ids, " "), e.Data.Properties))
}
