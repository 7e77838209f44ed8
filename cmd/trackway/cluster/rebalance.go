package cluster

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"trackway/cmd/trackway/command"
	"trackway/internal/control/members"
	"trackway/internal/partition"
	"trackway/internal/partition/placement"
	"trackway/internal/sleep"
	"trackway/internal/terminal"
)

type rebalanceCommand struct {
	flags

	Plan bool `help:"Only print the steps."`
	Yes  bool `help:"Do not ask before copies are moved."`

	leaderless []string // partitions of which nothing can be moved
}

// Run moves copies of partitions to the servers that should hold them, and then
// leadership, one step after the other. It can be interrupted, and run again.
func (c *rebalanceCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	steps, err := c.steps(ctx, t)
	switch {
	case err != nil:
		return err
	case len(steps) == 0 && len(c.leaderless) > 0:
		return c.left()
	case len(steps) == 0:
		terminal.Say(t.Stdout, "Nothing to do: each partition is where it should be, and each server leads about as many as the others.\n")
		return nil
	}
	if err := printSteps(t, steps); err != nil || c.Plan {
		return cmp.Or(err, c.left())
	}
	if moves(steps) && !c.Yes && !agreed(t) {
		return errors.New("nothing was changed")
	}
	var done placement.Step
	for len(steps) > 0 {
		s := steps[0]
		if s == done {
			return fmt.Errorf("%s was carried out, and has no effect: see trackway cluster status", sentence(s))
		}
		began := time.Now()
		terminal.Say(t.Stdout, "%s …\n", sentence(s))
		if err := c.step(ctx, t, s); err != nil {
			return err
		}
		terminal.Say(t.Stdout, "  done after %v\n", time.Since(began).Round(time.Second/10))
		done = s
		if steps, err = c.steps(ctx, t); err != nil {
			return err
		}
	}
	return c.left()
}

// left returns an error if partitions were left as they are.
func (c *rebalanceCommand) left() error {
	if len(c.leaderless) == 0 {
		return nil
	}
	return fmt.Errorf("no server that answers leads %s: what has no leader was left as it is; see trackway cluster status", strings.Join(c.leaderless, ", "))
}

func moves(steps []placement.Step) bool {
	return slices.ContainsFunc(steps, func(s placement.Step) bool { return s.Do != placement.Lead })
}

func agreed(t command.Tools) bool {
	terminal.Say(t.Stdout, "Carry that out? Only yes means yes: ")
	line, err := bufio.NewReader(t.Stdin).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "yes"
}

func printSteps(t command.Tools, steps []placement.Step) error {
	table := tabwriter.NewWriter(t.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "STEP\tPARTITION\tSERVER\t") // errors come with Flush
	for _, s := range steps {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t\n", s.Do, partition.Name(s.Part), s.Server)
	}
	return table.Flush()
}

// sentence says what a step does.
func sentence(s placement.Step) string {
	name := partition.Name(s.Part)
	switch s.Do {
	case placement.Add:
		return fmt.Sprintf("%s gets a copy of %s", s.Server, name)
	case placement.Remove:
		return fmt.Sprintf("%s gives its copy of %s up", s.Server, name)
	default:
		return fmt.Sprintf("%s leads %s", s.Server, name)
	}
}

// patiently asks until the running server answers: it may be starting again.
func (c *rebalanceCommand) patiently(ctx context.Context, ask func() error) error {
	for unanswered := 0; ; {
		err := ask()
		if err == nil {
			return nil
		}
		if strings.Contains(err.Error(), members.Busy) {
			return err // its steps would not be those of the plan any more
		}
		if unanswered++; unanswered > maxUnanswered {
			return err
		}
		if err := sleep.For(ctx, pollPause); err != nil {
			return err
		}
	}
}

// maxLeaderless is how often a plan is asked for while a partition has no
// leader: an election takes a while.
const maxLeaderless = 75

// steps returns the steps that are left.
func (c *rebalanceCommand) steps(ctx context.Context, t command.Tools) ([]placement.Step, error) {
	for n := 0; ; n++ {
		var plan members.Plan
		err := c.patiently(ctx, func() error { return c.ask(ctx, t, http.MethodGet, "/cluster/plan", nil, &plan) })
		if err == nil && len(plan.Leaderless) > 0 && n < maxLeaderless {
			err = sleep.For(ctx, pollPause)
			if err == nil {
				continue
			}
		}
		c.leaderless = plan.Leaderless
		return plan.Steps, err
	}
}

// step carries out a step. If the server that was asked starts again meanwhile,
// it is asked again.
func (c *rebalanceCommand) step(ctx context.Context, t command.Tools, s placement.Step) error {
	query := url.Values{"do": {string(s.Do)}, "partition": {strconv.Itoa(s.Part)}, "server": {s.Server}}
	said := ""
	return c.patiently(ctx, func() error {
		err := c.do(ctx, t, "step", query)
		if err != nil && ctx.Err() == nil && err.Error() != said && !strings.Contains(err.Error(), members.Busy) {
			said = err.Error()
			terminal.Say(t.Stderr, "  not yet: %s\n", said)
		}
		return err
	})
}
