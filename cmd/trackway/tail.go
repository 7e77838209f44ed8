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
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type tailCommand struct {
	dataFlags
	projectFlag

	Type     []string `help:"Only events of this type." placeholder:"TYPE" sep:"none"`
	Customer string   `help:"Only events of this customer, such as registered=jane@example.com." placeholder:"NAME=VALUE"`
	Since    string   `help:"Begin with events received since this time: 10m for ten minutes ago, or 2026-01-01T12:00:00Z." placeholder:"TIME"`
	Last     int      `default:"10" help:"Begin with the last N events (${default})." placeholder:"N"`
	JSON     bool     `help:"Print NDJSON, as an export does, even on a terminal." name:"json"`
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
		return fmt.Errorf("no server is running on %s: there is nothing to watch", cfg.DataDir)
	} else if err != nil {
		return err
	}
	answer, err := running.Control(ctx, client, http.MethodGet, "/tail", query, nil, 0)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := c.show(out.stdout, answer); err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() == nil {
		return errors.New("the server has stopped, or the one of its cluster that holds the project")
	}
	return nil
}

// parseSince parses a time, or a duration that means so long ago.
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

// show copies lines. For people, it makes them readable.
func (c *tailCommand) show(w io.Writer, from io.Reader) error {
	if c.JSON || !terminal.Is(w) {
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

// shownEvent has the fields that are shown of an event.
type shownEvent struct {
	Data struct {
		IDs        map[string]json.RawMessage `json:"customer_ids"`
		Type       string                     `json:"event_type"`
		Timestamp  float64                    `json:"timestamp"`
		Properties json.RawMessage            `json:"properties"`
	} `json:"data"`
}

// String returns "2026-11-22 05:06:07.123  purchase
// registered=jane@example.com  {"total":7.99}".
func (e *shownEvent) String() string {
	var ids []string
	for name, value := range e.Data.IDs {
		ids = append(ids, name+"="+strings.Trim(string(value), `"`))
	}
	slices.Sort(ids)
	at := time.UnixMicro(int64(e.Data.Timestamp * 1e6)).Format("2006-01-02 15:04:05.000")
	return terminal.Printable(fmt.Sprintf("%s  %s  %s  %s", at, e.Data.Type, strings.Join(ids, " "), e.Data.Properties))
}
