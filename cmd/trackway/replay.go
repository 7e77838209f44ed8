package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"trackway"
	"trackway/cmd/trackway/configfile"
	"trackway/internal/api"
	"trackway/internal/app"
	"trackway/internal/budget"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/limit/replay"
	"trackway/internal/limit/traffic"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

// recordFlags are the flags of the commands that read the recorded calls.
type recordFlags struct {
	DataDir string `env:"TRACKWAY_DATA" help:"Data directory of the server; overrides the configuration." name:"data" placeholder:"DIR"`
	Since   string `help:"Calls from this time on: 2026-01-01 (UTC), 2026-01-01T12:00:00Z, or 2h for two hours ago." placeholder:"TIME"`
	Until   string `help:"Calls before this time." placeholder:"TIME"`
	JSON    bool   `help:"Print everything as JSON." name:"json"`
}

// open returns the recorded calls in the chosen range, and the limits of a
// configuration.
func (r *recordFlags) open(out output, file string) (replay.Source, replay.Limits, error) {
	cfg, err := config.LoadElsewhere(file, config.Flags{DataDir: r.DataDir}, app.CheckLimits)
	if err != nil {
		return nil, replay.Limits{}, err
	}
	now := time.Now()
	since, err := parseBound(r.Since, now, time.Unix(0, 0))
	if err != nil {
		return nil, replay.Limits{}, fmt.Errorf("--since: %w", err)
	}
	until, err := parseBound(r.Until, now, time.Time{})
	if err != nil {
		return nil, replay.Limits{}, fmt.Errorf("--until: %w", err)
	}
	if err := flush(cfg.DataDir); err != nil {
		terminal.Say(out.stderr, "The last seconds are missing: %v\n", err)
	}
	if r.Until == "" {
		until = time.Now().Add(time.Second) // everything that was flushed, and not more each time it is read
	}
	if err := recorded(cfg, file); err != nil {
		return nil, replay.Limits{}, err
	}
	limits := replay.Limits{Policies: cfg.Policies, Overrides: cfg.Overrides, Floors: api.Floors(), Tokens: make(map[string]string), Callers: budget.MostCallers}
	for _, p := range cfg.Projects {
		limits.Tokens[p.Name] = p.Token
	}
	dir := app.TrafficDir(cfg)
	return func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		return traffic.Walk(dir, since, until, yield)
	}, limits, nil
}

// parseBound parses a time, or a duration that means so long ago. An empty text
// means the usual bound.
func parseBound(text string, now, usual time.Time) (time.Time, error) {
	if text == "" {
		return usual, nil
	}
	return parseSince(text, now)
}

// flush makes the server that uses a data directory write what it has recorded.
// If no server is running, everything is written already.
func flush(dataDir string) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), running.Patience, fmt.Errorf("no answer within %v", running.Patience))
	defer cancel()
	conn, err := control.Dial(ctx, dataDir)
	switch {
	case errors.Is(err, control.ErrNobody):
		return nil
	case err != nil:
		return err
	}
	_ = conn.Close() // it was only to see whether a server is there
	body, err := running.Control(ctx, control.Client(dataDir), http.MethodPost, "/traffic/flush", nil, nil, 0)
	if err != nil {
		return err
	}
	return body.Close()
}

// recorded returns an error with advice if nothing is recorded.
func recorded(cfg *config.Config, file string) error {
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist; a relative data_dir starts at the configuration's folder: name the server's data directory by --data DIR", cfg.DataDir)
	}
	dir := app.TrafficDir(cfg)
	entries, err := os.ReadDir(dir)
	switch {
	case len(entries) > 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read the record of calls: %w", err)
	case cfg.Traffic.Record:
		return fmt.Errorf("nothing is recorded in %s yet: is the server running, and has it read traffic: {record: true} (kill -HUP, or a restart)?", dir)
	}
	return fmt.Errorf("no calls are recorded in %s: add this to the server's configuration (%s)\n\n  traffic: {record: true}\n\n"+
		"reload it (kill -HUP, or POST /-/reload), and try again after some traffic. The record holds addresses, for 7 days unless you set keep", dir, file)
}

type limitsSimulateCommand struct {
	Config string `env:"TRACKWAY_CONFIG" help:"Configuration file whose limits to try (that of the server)." placeholder:"FILE"`

	recordFlags

	Top int `default:"20" help:"Maximum number of callers in the table (${default})." placeholder:"N"`
}

// AfterApply chooses the configuration as for all commands.
func (c *limitsSimulateCommand) AfterApply(ctx *kong.Context) error { //nolint:unparam // kong wants an error
	c.Config = configfile.Choose(ctx, c.Config)
	return nil
}

// Run prints which callers the limits would have refused.
func (c *limitsSimulateCommand) Run(out output) error {
	if c.Top < 0 {
		return errors.New("--top: must be 0 or more")
	}
	source, limits, err := c.open(out, c.Config)
	if err != nil {
		return err
	}
	o, err := replay.Simulate(source, limits)
	if err != nil {
		return err
	}
	if c.JSON {
		return printIndented(out.stdout, o)
	}
	return printOutcome(out.stdout, o, c.Top)
}

func printIndented(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return printJSON(w, text)
}

func printOutcome(w io.Writer, o *replay.Outcome, top int) error {
	terminal.Say(w, "%s\n", describe(&o.Record))
	if o.Record.Calls == 0 {
		return nil
	}
	terminal.Say(w, "\n")
	t := terminal.NewColumns(w)
	t.Row("POLICY", "LIMIT", "PER", "CALLS", "REFUSED", "SHARE", "WAS", "CALLERS", "TOUCHED", "WERE")
	for _, p := range o.Policies {
		limit, refused := fmt.Sprintf("%d in %ds", p.Limit, p.Window), strconv.FormatUint(p.Refused, 10)
		switch {
		case p.Gone:
			t.Row(p.Name, "is no more", "-", "-", "-", "-", p.Was, "-", "-", p.CallersWas)
			continue
		case p.Mode == trackway.Report:
			refused += " (report)"
		}
		t.Row(p.Name, limit, p.Per, p.Calls, refused, share(p.Refused, p.Calls), p.Was, p.Callers, p.CallersRefused, p.CallersWas)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	terminal.Say(w, "\nREFUSED calls of TOUCHED callers would have been refused, in mode report if it were enforced. WAS and WERE say what the limits\nin force did at the time.\n")
	if err := printTouched(w, o.Callers, top); err != nil {
		return err
	}
	printWarnings(w, o.Warnings)
	return nil
}

// describe says in a sentence what a record contains.
func describe(r *replay.Record) string {
	if r.From.IsZero() {
		return "Nothing is recorded of that time."
	}
	from, to := r.From.Local(), r.To.Local()
	layout := time.DateTime
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		layout = time.TimeOnly
	}
	of := fmt.Sprintf("The record covers %s to %s (%v): ", from.Format(time.DateTime), to.Format(layout), to.Sub(from)-r.Missing())
	if r.Calls == 0 {
		return of + "no call came."
	}
	return of + fmt.Sprintf("%d calls of %d addresses; %d of them were refused.", r.Calls, r.Addresses, r.Refused)
}

// share formats a percentage. It distinguishes none and all from shares that
// only round to them.
func share(part, of uint64) string {
	switch {
	case of == 0 || part == 0:
		return "-"
	case part == of:
		return "100%"
	}
	percent := 100 * float64(part) / float64(of)
	switch {
	case percent < 0.1:
		return "<0.1%"
	case percent < 10:
		return fmt.Sprintf("%.1f%%", percent)
	case percent > 99:
		return ">99%"
	}
	return fmt.Sprintf("%.0f%%", percent)
}

func printTouched(w io.Writer, callers []replay.CallerOutcome, top int) error {
	if len(callers) == 0 {
		terminal.Say(w, "\nNobody would have been refused, and nobody was.\n")
		return nil
	}
	terminal.Say(w, "\n")
	t := terminal.NewColumns(w)
	t.Row("CALLER", "POLICY", "REFUSED", "OF CALLS", "SHARE", "WAS", "FIRST", "LAST", "ROUTE")
	for _, c := range callers[:min(top, len(callers))] {
		t.Row(c.Caller, c.Policy, c.Refused, c.Calls, share(c.Refused, c.Calls), c.Was,
			c.First.Local().Format(time.DateTime), c.Last.Local().Format(time.DateTime), cmp.Or(c.Route, "-"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := len(callers) - top; more > 0 {
		terminal.Say(w, "… and %d more; --top shows them.\n", more)
	}
	return nil
}

func printWarnings(w io.Writer, warnings []string) {
	if len(warnings) > 0 {
		terminal.Say(w, "\nMind that:\n  - %s.\n", strings.Join(warnings, ".\n  - "))
	}
}

type limitsSuggestCommand struct {
	configFile
	recordFlags

	Share  float64       `default:"99.9" help:"Percentage of a policy's callers that must never be refused (${default})." placeholder:"PERCENT"`
	Policy string        `help:"Only this limit." placeholder:"NAME"`
	Window time.Duration `help:"Another window than the policy's, such as 60s." placeholder:"TIME"`
}

// Run prints the suggested limits.
func (c *limitsSuggestCommand) Run(out output) error {
	if !(c.Share > 0 && c.Share <= 100) {
		return errors.New("--share: must be more than 0, and at most 100")
	}
	if c.Window != 0 && (c.Window < time.Second || c.Window > 24*time.Hour || c.Window%time.Second != 0) {
		return errors.New("--window: must be whole seconds, from 1s to 24h")
	}
	source, limits, err := c.open(out, c.Config)
	if err != nil {
		return err
	}
	a, err := replay.Suggest(source, limits, replay.Wish{Share: c.Share, Policy: c.Policy, Window: c.Window})
	if err != nil {
		return err
	}
	if c.JSON {
		return printIndented(out.stdout, a)
	}
	return printAdvice(out.stdout, a)
}

func printAdvice(w io.Writer, a *replay.Advice) error {
	terminal.Say(w, "%s\n", describe(&a.Record))
	if a.Record.Calls == 0 {
		return nil
	}
	terminal.Say(w, "Of each policy's callers, %g percent must not be refused.\n\n", a.Share)
	t := terminal.NewColumns(w)
	t.Row("POLICY", "CALLERS", "CALLS", "NEED", "NOW", "TOUCHES", "REFUSES", "SUGGESTED", "TOUCHES", "REFUSES")
	limit := func(e *replay.Effect) string { return fmt.Sprintf("%d in %ds", e.Limit, e.Window) }
	for i := range a.Suggestions {
		s := &a.Suggestions[i]
		if s.Then == nil {
			t.Row(s.Name, s.Callers, s.Calls, "-", limit(&s.Now), "-", "-", "-", "-", "-")
			continue
		}
		t.Row(s.Name, s.Callers, s.Calls, s.Needed, limit(&s.Now), s.Now.Touched, s.Now.Refused, limit(s.Then), s.Then.Touched, s.Then.Refused)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printLines(w, a)
	printWarnings(w, a.Warnings)
	return nil
}

// printLines prints the lines for the configuration, and notes on what callers
// may need beyond them.
func printLines(w io.Writer, a *replay.Advice) {
	var lines, notes strings.Builder
	for _, s := range a.Suggestions {
		if s.YAML != "" {
			fmt.Fprintf(&lines, "  %s\n", s.YAML)
		}
		if s.Note != "" {
			fmt.Fprintf(&notes, "  - %s: %s.\n", s.Name, s.Note)
		}
	}
	if lines.Len() > 0 {
		terminal.Say(w, "\nFor the configuration:\n\nlimits:\n%s", lines.String())
	}
	if notes.Len() > 0 {
		terminal.Say(w, "\nNotes:\n%s", notes.String())
	}
}
