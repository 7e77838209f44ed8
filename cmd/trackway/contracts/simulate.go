package contracts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"trackway"
	"trackway/cmd/trackway/command"
	"trackway/internal/canonjson"
	"trackway/internal/config"
	"trackway/internal/contract/book"
	"trackway/internal/contract/schema"
	"trackway/internal/contract/trial"
	"trackway/internal/format/tracking"
	"trackway/internal/terminal"
)

type simulateCommand struct {
	flags
	schemaFlags

	With   string `help:"Configuration file whose contracts to try, instead of those in force." placeholder:"FILE"`
	Events uint64 `help:"How many of the newest events to look at (${default})." default:"10000000" placeholder:"N"`
	Quiet  bool   `help:"Show no progress." short:"q"`
}

// Run shows what contracts would have done.
func (c *simulateCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	all, err := c.chosen(ctx, t)
	if err != nil {
		return err
	}
	var sent []trial.Sent
	for _, typ := range slices.Sorted(maps.Keys(all)) {
		sent = append(sent, trial.Sent{Type: typ, Schema: all[typ]})
	}
	body, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	query := c.Query()
	query.Set("events", strconv.FormatUint(c.Events, 10))
	return t.Post(ctx, c.Config, c.DataDir, "/contracts/simulate", query, body, func(answer io.Reader) error {
		r, err := c.follow(t, answer)
		if err != nil {
			return err
		}
		if c.JSON {
			return t.Print(t.Stdout, r)
		}
		return printTrial(t.Stdout, r)
	})
}

// chosen returns the schemas to try, by type.
func (c *simulateCommand) chosen(ctx context.Context, t command.Tools) (map[string]json.RawMessage, error) {
	if c.With == "" {
		return c.contracts(ctx, t, &c.flags)
	}
	cfg, _, err := config.Load(c.With, config.Flags{})
	if err != nil {
		return nil, err
	}
	for i := range cfg.Projects {
		p := &cfg.Projects[i]
		if len(cfg.Projects) > 1 && c.Project != p.Name && c.Project != p.Token {
			continue
		}
		all := make(map[string]json.RawMessage)
		for _, one := range cfg.Contracts[p.Token] {
			if c.Type == "" || c.Type == one.Type {
				all[one.Type] = one.Schema
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s has no such contracts", c.With)
		}
		return all, nil
	}
	return nil, fmt.Errorf("%s has several projects, or other ones: name one with --project", c.With)
}

// follow shows the progress, and returns the result.
func (c *simulateCommand) follow(t command.Tools, answer io.Reader) (*trial.Result, error) {
	shown := terminal.NewProgress(t.Stderr, c.Quiet, "contracts", time.Now())
	defer shown.Done()
	for d := json.NewDecoder(answer); ; {
		var line trial.Line
		if err := d.Decode(&line); err != nil {
			return nil, fmt.Errorf("the server's answer was cut off, and its log says why: %w", err)
		}
		switch {
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Result != nil:
			return line.Result, nil
		case line.Progress != nil && line.Progress.From != nil && shown.Due(time.Now()):
			shown.Show(fmt.Sprintf("looked at %d events, back to %s", line.Progress.LookedAt, local(*line.Progress.From)))
		}
	}
}

func printTrial(w io.Writer, r *trial.Result) error {
	if r.From == nil {
		terminal.Say(w, "There are no events yet.\n")
		return nil
	}
	terminal.Say(w, "Looked at %s that came from %s to %s.", terminal.Plural(r.LookedAt, "event"), local(*r.From), local(*r.Until))
	if r.Cut {
		terminal.Say(w, " Older ones were not looked at.")
	}
	terminal.Say(w, "\nEvents that were refused are not stored, and not among them.\n")
	for i := range r.Types {
		one := &r.Types[i]
		terminal.Say(w, "\n%s: %d of %s would have broken the contract (%s)\n", one.Type, one.Broken, terminal.Plural(one.Checked, "event"), percent(one.Share))
		if len(one.Reasons) == 0 {
			continue
		}
		columns := terminal.NewColumns(w)
		columns.Row("  PROPERTY", "EXPECTED", "EVENTS", "FIRST", "LAST", "EXAMPLE, MASKED")
		for j := range one.Reasons {
			why := &one.Reasons[j]
			columns.Row("  "+why.Property, plain(why.Expected), why.Events, local(why.First), local(why.Last), why.Example)
		}
		if err := columns.Flush(); err != nil {
			return err
		}
	}
	return nil
}

type testCommand struct {
	flags
	schemaFlags

	File string `arg:"" help:"File with events, one in a line as the tracking API takes them, or - for the standard input." placeholder:"FILE"`
}

// tested is what a contract says about an event.
type tested struct {
	Line  int    `json:"line"`
	Type  string `json:"type"`
	Known bool   `json:"known"` // the type has a contract
	Error string `json:"error"` // empty: the event keeps it
}

// Run checks events in a file.
func (c *testCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	all, err := c.contracts(ctx, t, &c.flags)
	if err != nil {
		return err
	}
	text, err := readAll(t, c.File)
	if err != nil {
		return err
	}
	broken, results := 0, []tested{}
	for i, line := range bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n")) {
		r, err := test(all, line)
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		r.Line = i + 1
		results = append(results, r)
		switch {
		case r.Error != "":
			broken++
		case c.JSON:
		}
		if !c.JSON {
			terminal.Say(t.Stdout, "line %d: %s: %s\n", r.Line, r.Type, verdict(r))
		}
	}
	if c.JSON {
		if err := t.Print(t.Stdout, results); err != nil {
			return err
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d events break their contract", broken, len(results))
	}
	return nil
}

func verdict(r tested) string {
	switch {
	case !r.Known:
		return "no contract"
	case r.Error != "":
		return r.Error
	}
	return "good"
}

// test checks one event.
func test(all map[string]json.RawMessage, line []byte) (tested, error) {
	var event struct {
		Type       string          `json:"event_type"`
		Properties json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(line, &event); err != nil || event.Type == "" {
		return tested{}, errors.New(`expected an event such as {"event_type":"purchase","properties":{"price":10}}`)
	}
	r := tested{Type: event.Type}
	src, known := all[event.Type]
	if r.Known = known; !known {
		return r, nil
	}
	compiled, wrong := schema.Parse(src)
	if wrong != nil {
		return r, wrong
	}
	d := canonjson.Decode(event.Properties)
	var properties []trackway.Property
	if len(event.Properties) > 0 {
		var problem canonjson.Problem
		if properties, problem = d.Properties(); problem.Fault != canonjson.None || d.Bad() {
			return r, errors.New("the properties must be an object within the bounds of events")
		}
	}
	if fault, ok := compiled.Check(properties); !ok {
		r.Error = tracking.Text(book.Refusal(compiled, &fault))
	}
	return r, nil
}
