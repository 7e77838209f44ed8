// Package bots has the commands of trackway bots. They ask the running server
// or, if none runs, one that exists for the command only.
package bots

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"trackway/cmd/trackway/command"
	"trackway/internal/suspect"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	Show     showCommand     `cmd:"" help:"Show how many events came from suspect customers in the last 24 hours, and why they are suspect."`
	Simulate simulateCommand `cmd:"" help:"Show which customers rules would have labeled in the past."`
}

// flags are the flags of each command.
type flags struct{ command.ProjectFlags }

type showCommand struct{ flags }

// Run shows what was noticed.
func (c *showCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	var v suspect.View
	if err := c.Ask(ctx, t, http.MethodGet, "/bots", c.Query(), &v); err != nil {
		return err
	}
	if c.JSON {
		return t.Print(t.Stdout, &v)
	}
	return printView(t.Stdout, &v)
}

func printView(w io.Writer, v *suspect.View) error {
	switch {
	case v.Property == "":
		terminal.Say(w, "Project %s has nobody labeled. To change that: bots: {label: true}, in the project's configuration.\n", v.Project)
		return nil
	case v.Since == 0:
		terminal.Say(w, "No event of project %s came with a public key since the server has started.\n", v.Project)
		return nil
	}
	terminal.Say(w, "Project %s, the last 24 hours, since %s at the earliest: %s with public keys.\n",
		v.Project, local(time.Unix(v.Since, 0)), terminal.Plural(v.Events, "event"))
	columns := terminal.NewColumns(w)
	columns.Row("REASON", "EVENTS", "CUSTOMERS")
	for _, r := range v.Reasons {
		columns.Row(string(r.Reason), r.Events, r.Customers)
	}
	if err := columns.Flush(); err != nil || len(v.Agents) == 0 {
		return err
	}
	terminal.Say(w, "\nUser agents that say that they are programs:\n")
	columns = terminal.NewColumns(w)
	for _, a := range v.Agents {
		columns.Row("  "+a.Name, terminal.Plural(a.Events, "event"))
	}
	return columns.Flush()
}

type simulateCommand struct {
	flags

	Days    int    `default:"7" help:"How many past days to look at (${default})." placeholder:"N"`
	Pace    *int   `help:"Replace the rule: events in ten minutes; 0: no such rule." placeholder:"N"`
	Repeats *int   `help:"Replace the rule: equal events in a row; 0: no such rule." placeholder:"N"`
	Regular string `help:"Replace the rule: how long at equal intervals, such as 6h; 0s: no such rule." placeholder:"TIME"`
}

// Run shows what rules would have labeled.
func (c *simulateCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	query := c.Query()
	query.Set("days", strconv.Itoa(c.Days))
	for name, n := range map[string]*int{"pace": c.Pace, "repeats": c.Repeats} {
		if n != nil {
			query.Set(name, strconv.Itoa(*n))
		}
	}
	if c.Regular != "" {
		query.Set("regular", c.Regular)
	}
	var s suspect.Simulation
	if err := c.AskAny(ctx, t, http.MethodGet, "/bots/simulate", query, &s); err != nil {
		return err
	}
	if c.JSON {
		return t.Print(t.Stdout, &s)
	}
	return printSimulation(t.Stdout, &s)
}

func printSimulation(w io.Writer, s *suspect.Simulation) error {
	terminal.Say(w, "Project %s, from %s to %s: %s. The rules would have labeled %s, who sent %s from then on.\n", s.Project, local(s.From), local(s.Until),
		terminal.Plural(s.Events, "event"), terminal.Plural(uint64(s.Customers), "customer"), terminal.Plural(s.Suspect, "event"))
	columns := terminal.NewColumns(w)
	columns.Row("REASON", "CUSTOMERS", "EXAMPLES")
	for _, r := range s.Reasons {
		var examples []string
		for _, e := range r.Examples {
			examples = append(examples, strconv.FormatUint(uint64(e), 10))
		}
		columns.Row(string(r.Reason), r.Customers, strings.Join(examples, ", "))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	var untried []string
	for _, r := range s.Untried {
		untried = append(untried, string(r))
	}
	terminal.Say(w, "Other rules cannot be tried on the past, because what they look at is not stored: %s.\n", strings.Join(untried, ", "))
	return nil
}

func local(at time.Time) string { return at.Local().Format(time.DateTime) }
