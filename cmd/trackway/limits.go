package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"trackway/internal/limit"
	"trackway/internal/limit/watch"
	"trackway/internal/terminal"
)

type limitsCommand struct {
	Show limitsShowCommand `cmd:"" help:"Show what each limit has done, and how close callers come to it."`
	Top  limitsTopCommand  `cmd:"" help:"Show the callers with the most calls or refusals, and what they send."`

	Suggest  limitsSuggestCommand  `cmd:"" help:"Suggest the smallest limits that would not have affected most callers, from the recorded calls."`
	Simulate limitsSimulateCommand `cmd:"" help:"Show which callers the limits of a configuration would have refused, when and how often, from the recorded calls."`
}

type limitsShowCommand struct {
	serverFlags

	JSON bool `help:"Print the server's answer unchanged." name:"json"`
}

// Run shows the limits.
func (c *limitsShowCommand) Run(out output) error {
	body, err := c.ask(context.Background(), "/api/limits/usage", nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.stdout, body)
	}
	var r limit.Report
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return printUsage(out.stdout, &r)
}

func printUsage(w io.Writer, r *limit.Report) error {
	t := terminal.NewColumns(w)
	t.Row("POLICY", "LIMIT", "MODE", "CALLS", "REFUSED", "WOULD", "CANDIDATE", "CALLERS", "P50", "P95", "P99", "MAX")
	for _, p := range r.Policies {
		t.Row(p.Name, fmt.Sprintf("%d in %ds", p.Limit, p.Window), p.Mode, p.Calls, p.Refused, p.WouldRefuse,
			p.CandidateRefused, p.Callers, p.P50, p.P95, p.P99, p.Max)
	}
	t.Row()
	head := []any{"CALLERS THAT USED"}
	for tenth := range 10 {
		head = append(head, strconv.Itoa(10*tenth)+"%")
	}
	t.Row(append(head, "OVER")...)
	for _, p := range r.Policies {
		cells := []any{p.Name}
		for _, n := range p.Tenths {
			cells = append(cells, n)
		}
		t.Row(append(cells, p.Over)...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d of %d counters are in use, in %.1f MB; %d calls were admitted without being counted.\n",
		r.Table.Used, r.Table.Slots, float64(r.Table.Bytes)/1e6, r.Table.Untracked)
	return err
}

type limitsTopCommand struct {
	serverFlags

	Policy  string `help:"Only callers under this limit." placeholder:"NAME"`
	Refused bool   `help:"Only refused callers, sorted by refusals."`
	Rows    int    `default:"20" help:"Maximum number of callers (${default})." placeholder:"N"`
	JSON    bool   `help:"Print the server's answer unchanged." name:"json"`
}

// Run shows the callers.
func (c *limitsTopCommand) Run(out output) error {
	query := url.Values{"rows": {strconv.Itoa(c.Rows)}, "refused": {strconv.FormatBool(c.Refused)}}
	if c.Policy != "" {
		query.Set("policy", c.Policy)
	}
	body, err := c.ask(context.Background(), "/api/limits/callers", query)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.stdout, body)
	}
	var answer struct {
		Since time.Time
		Rows  []watch.Caller
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return printCallers(out.stdout, answer.Since, answer.Rows)
}

func printCallers(w io.Writer, since time.Time, callers []watch.Caller) error {
	if len(callers) == 0 {
		_, err := fmt.Fprintf(w, "Nobody since %s.\n", since.Local().Format(time.DateTime))
		return err
	}
	t := terminal.NewColumns(w)
	t.Row("CALLS", "REFUSED", "±", "POLICY", "ADDRESS", "LAST", "REPEATS", "PROJECT", "ROUTE", "EVENT", "USER AGENT", "ADDRESS FROM")
	for i := range callers {
		c := &callers[i]
		repeats := "-"
		if c.Bodies > 0 {
			repeats = fmt.Sprintf("%.0f%%", 100*c.Repeats)
		}
		t.Row(c.Calls, c.Refused, c.Error, c.Policy, c.Address, c.Last.Local().Format(time.TimeOnly), repeats,
			few(c.Projects), few(c.Routes), few(c.Types), few(c.Agents), c.Source)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nSince %s. Of several projects, routes, events and user agents the latest is shown; --json shows more.\n",
		since.Local().Format(time.DateTime))
	return err
}

// few shows the first few texts, and how many more there are.
func few(texts []string) string {
	if len(texts) == 0 {
		return "-"
	}
	const longest = 60
	text := []rune(terminal.Printable(texts[0]))
	if len(text) > longest {
		text = append(text[:longest-1], '…')
	}
	if more := len(texts) - 1; more > 0 {
		return fmt.Sprintf("%s +%d", string(text), more)
	}
	return string(text)
}

// printJSON prints an answer unchanged.
func printJSON(w io.Writer, body []byte) error {
	_, err := fmt.Fprintf(w, "%s\n", body)
	return err
}
