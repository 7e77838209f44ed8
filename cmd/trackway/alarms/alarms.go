// Package alarms has the commands of trackway alarms. They ask the running
// server or, if none runs, one that exists for the command only.
package alarms

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"trackway/cmd/trackway/command"
	"trackway/internal/alarm"
	"trackway/internal/alarm/notify"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	List     listCommand     `cmd:"" help:"List what rings, what has rung, and the rules."`
	Test     testCommand     `cmd:"" help:"Send a trial message to each receiver, and show what it says."`
	Simulate simulateCommand `cmd:"" help:"Show when alarms about silence would have rung in past weeks."`
}

// flags are the flags of each command.
type flags struct{ command.ReportFlags }

type listCommand struct {
	flags

	Past int `default:"10" help:"How many alarms that have ended to list (${default})." placeholder:"N"`
}

// Run lists the alarms.
func (c *listCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	var r alarm.Report
	if err := c.AskAny(ctx, t, http.MethodGet, "/alarms", nil, &r); err != nil {
		return err
	}
	r.Past = r.Past[:min(len(r.Past), max(c.Past, 0))]
	if c.JSON {
		return t.Print(t.Stdout, r)
	}
	return printReport(t.Stdout, &r)
}

// local writes a time for people.
func local(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.Local().Format(time.DateTime)
}

func printReport(w io.Writer, r *alarm.Report) error {
	if len(r.Ringing) == 0 {
		terminal.Say(w, "Nothing rings.\n")
	}
	columns := terminal.NewColumns(w)
	for _, part := range []struct {
		state string
		rows  []alarm.Row
	}{{"RINGS", r.Ringing}, {"waits", r.Waiting}, {"ended", r.Past}} {
		for i := range part.rows {
			a := &part.rows[i]
			columns.Row(part.state, a.Headline, local(&a.Since), local(a.Ended), a.Text)
		}
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	terminal.Say(w, "\nRules:\n")
	columns = terminal.NewColumns(w)
	for _, rule := range r.Rules {
		columns.Row("  "+rule.Kind, rule.Watch, rule.Rings)
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	if len(r.Receivers) == 0 {
		terminal.Say(w, "\nNobody is told: the configuration has no receivers (alarms: {receivers: […]}).\n")
		return nil
	}
	terminal.Say(w, "\nReceivers:\n")
	columns = terminal.NewColumns(w)
	for i := range r.Receivers {
		x := &r.Receivers[i]
		columns.Row("  "+x.Name, x.Kind, "told "+local(x.Told), terminal.Plural(uint64(x.Pending), "message")+" waiting", x.Error)
	}
	return columns.Flush()
}

type testCommand struct {
	flags

	Names []string `arg:"" help:"Receivers to test (all)." optional:"" placeholder:"NAME"`
}

// Run tests the receivers.
func (c *testCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	var results []notify.Tried
	if err := c.AskAny(ctx, t, http.MethodPost, "/alarms/test", url.Values{"name": c.Names}, &results); err != nil {
		return err
	}
	bad := 0
	for _, r := range results {
		said := "has accepted the message"
		if r.Error != "" {
			bad++
			said = "FAILED  " + r.Error
		}
		if !c.JSON {
			terminal.Say(t.Stdout, "%s (%s)  %s\n", r.Name, r.Kind, said)
		}
	}
	if c.JSON {
		if err := t.Print(t.Stdout, results); err != nil {
			return err
		}
	}
	switch {
	case len(results) == 0:
		return errors.New("the configuration has no receivers: alarms: {receivers: […]}")
	case bad > 0:
		return fmt.Errorf("%d of %d receivers failed", bad, len(results))
	}
	return nil
}

type simulateCommand struct {
	flags

	Weeks   int    `default:"8" help:"How many past weeks to replay (${default})." placeholder:"N"`
	Percent uint32 `help:"Replace the rules' percent." placeholder:"N"`
	Least   uint32 `help:"Replace the rules' least." placeholder:"N"`
	Against uint32 `help:"Replace the rules' weeks, with which an hour is compared." placeholder:"N"`
}

// Run shows when alarms would have rung.
func (c *simulateCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	if c.Weeks < 1 || c.Weeks > alarm.MostWeeks {
		return fmt.Errorf("--weeks must lie between 1 and %d", alarm.MostWeeks)
	}
	var s alarm.Simulation
	query := (&alarm.Question{Weeks: c.Weeks, Percent: c.Percent, Least: c.Least, Against: c.Against}).Query()
	if err := c.AskAny(ctx, t, http.MethodGet, "/alarms/simulate", query, &s); err != nil {
		return err
	}
	if c.JSON {
		return t.Print(t.Stdout, s)
	}
	return printSimulation(t.Stdout, &s)
}

func printSimulation(w io.Writer, s *alarm.Simulation) error {
	terminal.Say(w, "From %s to %s, alarms about silence would have rung %s.\n", local(&s.From), local(&s.Until), times(len(s.Rang)))
	columns := terminal.NewColumns(w)
	for i := range s.Rang {
		r := &s.Rang[i]
		ended := "rings still"
		if r.Ended != nil {
			ended = "ended " + local(r.Ended)
		}
		columns.Row("  "+r.Subject, "rang "+local(&r.Rang), ended, r.Text)
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	terminal.Say(w, "Projects and types that were looked at: %d. Of these, with too few events or too short a past to ring at any hour: %d.\n", s.Subjects, s.Unjudged)
	if !s.GapsKnown {
		terminal.Say(w, "The server does not know for all of this time when it did not run. Some of these alarms may be about that.\n")
	}
	if len(s.Unknown) > 0 {
		terminal.Say(w, "Other rules cannot be tried on the past, because what they watch is not recorded: %s.\n", strings.Join(s.Unknown, ", "))
	}
	return nil
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
