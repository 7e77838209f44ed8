// Package audit has the commands of trackway audit. They read the audit log of
// a data directory, whether or not a server runs.
package audit

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"trackway/cmd/trackway/command"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/iso8601"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	List   listCommand   `cmd:"" default:"withargs" help:"List who did what, the newest last."`
	Verify verifyCommand `cmd:"" help:"Check that no entry was changed, removed or moved. The exit status is 1 if one was."`
}

// flags are the flags of each command.
type flags struct{ command.ReportFlags }

// open returns the audit log.
func (f *flags) open(t command.Tools) (*audit.Log, error) {
	cfg, err := config.LoadElsewhere(f.Config, config.Flags{DataDir: f.DataDir})
	if err != nil {
		return nil, err
	}
	return command.Log(cfg.DataDir, t.Stderr), nil
}

type listCommand struct {
	flags

	Since  string   `help:"Entries from this time on: 2026-01-01 (UTC), 2026-01-01T12:00:00Z, or 48h for two days ago." placeholder:"TIME"`
	Until  string   `help:"Entries before this time." placeholder:"TIME"`
	Action []string `help:"Only this action, such as user.add, or group of actions, such as user; can be repeated." placeholder:"ACTION" sep:","`
	Actor  string   `help:"Only what this user or key did." placeholder:"NAME"`
	Limit  int      `default:"1000" help:"At most so many entries, the newest (${default}; 0: all)." placeholder:"N"`
}

// Run lists entries.
func (c *listCommand) Run(t command.Tools) error {
	q := audit.Query{Actions: c.Action, Actor: c.Actor, Limit: c.Limit}
	now := time.Now()
	var err error
	if q.Since, err = bound("since", c.Since, now); err != nil {
		return err
	}
	if q.Until, err = bound("until", c.Until, now); err != nil {
		return err
	}
	if c.Limit < 0 {
		return errors.New("--limit: must not be negative")
	}
	log, err := c.open(t)
	if err != nil {
		return err
	}
	r, err := log.Read(&q)
	if err != nil {
		return err
	}
	if r.Unreadable > 0 {
		terminal.Say(t.Stderr, "Damaged lines that are left out: %d. See: trackway audit verify\n", r.Unreadable)
	}
	if c.JSON {
		return t.Print(t.Stdout, r.Entries)
	}
	return printEntries(t.Stdout, r.Entries)
}

// bound reads a time, or how long ago it is. An empty text is no bound.
func bound(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, ok := iso8601.Parse(text)
	if !ok {
		return time.Time{}, fmt.Errorf("--%s %q: expected a time, such as 2026-01-01 or 2026-01-01T12:00:00Z, or how long ago, such as 48h", flag, text)
	}
	return at.Time(), nil
}

// printEntries lists entries, the newest last: that is next to the prompt.
func printEntries(w io.Writer, entries []audit.Entry) error {
	if len(entries) == 0 {
		terminal.Say(w, "There are no such entries.\n")
		return nil
	}
	columns := terminal.NewColumns(w)
	columns.Row("N", "TIME", "WHO", "VIA", "FROM", "ACTION", "OUTCOME", "WHAT")
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		columns.Row(strconv.FormatUint(e.N, 10), e.At.Local().Format(time.DateTime), who(e), string(e.Via), or(e.Address), string(e.Action), string(e.Outcome), what(e))
	}
	return columns.Flush()
}

func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// who names the actor of an entry.
func who(e *audit.Entry) string {
	if e.Actor == "" && e.Via == audit.Page && e.Action != audit.SignInFailed {
		return "(the one password)"
	}
	return or(e.Actor)
}

// what joins what an entry is about.
func what(e *audit.Entry) string {
	var list []string
	for _, text := range []string{e.Target, e.Project} {
		if text != "" {
			list = append(list, text)
		}
	}
	if e.Count > 0 {
		list = append(list, terminal.Plural(e.Count, "time"))
	}
	if e.Detail != "" {
		list = append(list, e.Detail)
	}
	return or(strings.Join(list, "; "))
}

type verifyCommand struct {
	flags

	Noted []string `help:"Number and checksum of an entry that were noted before, as N:SUM; can be repeated." placeholder:"N:SUM" sep:"none"`
}

// errWrong makes the exit status show scripts that something is wrong.
var errWrong = errors.New("the audit log is not as it was written")

// Run checks the whole log.
func (c *verifyCommand) Run(t command.Tools) error {
	log, err := c.open(t)
	if err != nil {
		return err
	}
	r, err := log.Verify(c.Noted...)
	if err != nil {
		return fmt.Errorf("--noted: %w", err)
	}
	if c.JSON {
		err = t.Print(t.Stdout, r)
	} else {
		tell(t.Stdout, r)
	}
	if err == nil && !r.Good() {
		err = errWrong
	}
	return err
}

func tell(w io.Writer, r *audit.Report) {
	switch {
	case r.Why != "":
		terminal.Say(w, "Line %d of %s is wrong: %s.\n", r.Line, audit.File, r.Why)
	case r.Missing != "":
		terminal.Say(w, "Entries are missing at the end: %s.\n", r.Missing)
	}
	if r.Entries == 0 {
		terminal.Say(w, "There are no entries%s.\n", map[bool]string{true: " before that"}[r.Why != ""])
		return
	}
	terminal.Say(w, "Entries that follow one another: %d to %d.\n", r.First, r.Last)
	if r.Removed {
		terminal.Say(w, "Older ones were removed, because they are kept for a time only.\n")
	}
	if r.Good() {
		terminal.Say(w, "To find a forged file later, note this elsewhere: %d:%s\n", r.Last, r.Sum)
	}
}
