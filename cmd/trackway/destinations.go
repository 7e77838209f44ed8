package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/control/relay"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
	"trackway/internal/destination/listing"
	"trackway/internal/doctor"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type destinationsCommand struct {
	List    destinationsListCommand    `cmd:"" help:"List the destinations: state, lag, rate and errors."`
	Check   destinationsCheckCommand   `cmd:"" help:"Write something into each destination, read it back, and remove it."`
	DDL     destinationsDDLCommand     `cmd:"" help:"Print the statements that create a destination's tables." name:"ddl"`
	Suggest destinationsSuggestCommand `cmd:"" help:"Suggest typed columns, from the stored events."`
	Pause   destinationsPauseCommand   `cmd:"" help:"Stop sending to a destination. Its lag grows meanwhile."`
	Resume  destinationsResumeCommand  `cmd:"" help:"Continue after a pause, or after an error that stopped the destination."`
	Rewind  destinationsRewindCommand  `cmd:"" help:"Send changes again, beginning with an older one."`
	Rejects destinationsRejectsCommand `cmd:"" help:"List the rows that can never fit into a destination, and why."`
	Verify  destinationsVerifyCommand  `cmd:"" help:"Compare a destination with the log, event by event."`
}

// destinationFlags are the flags of every command about destinations.
type destinationFlags struct {
	dataFlags

	JSON bool `help:"Print JSON." name:"json"`
}

// nameArg is the argument of a command about one destination.
type nameArg struct {
	Name string `arg:"" help:"Name of the destination." placeholder:"NAME"`
}

// get asks the control socket and decodes the answer.
func get(ctx context.Context, client *http.Client, method, route string, query url.Values, into any) error {
	answer, err := running.Control(ctx, client, method, route, query, nil, 0)
	if err != nil {
		return err
	}
	defer answer.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, answer)
		return err
	}
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return fmt.Errorf("the server's answer was cut off: %w", err)
	}
	return nil
}

// destinationList is the answer to a question for all destinations. In a
// cluster, partitions may be missing whose server has not answered.
type destinationList struct {
	Destinations []listing.Row      `json:"destinations"`
	Unanswered   []relay.Unanswered `json:"unanswered,omitempty"`
}

// list asks for all destinations.
func list(ctx context.Context, client *http.Client) (all destinationList, err error) {
	return all, get(ctx, client, http.MethodGet, "/destinations", nil, &all)
}

type destinationsListCommand struct{ destinationFlags }

// Run lists the destinations.
func (c *destinationsListCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	cfg, _, err := c.running(ctx)
	if errors.Is(err, control.ErrNobody) {
		terminal.Say(out.stderr, "No server is running, so nothing is sent. These are the positions that the last one left.\n")
	}
	return c.with(ctx, out, false, func(client *http.Client) error {
		all, err := list(ctx, client)
		if err != nil {
			return err
		}
		if news := listing.Lacking(all.Destinations, cfg.Destinations); len(news) > 0 && len(all.Unanswered) == 0 {
			terminal.Say(out.stderr, "The server has not read this file since these destinations were added: %s. Reload it (kill -HUP).\n", strings.Join(news, ", "))
		}
		if c.JSON {
			err = printIndented(out.stdout, all)
		} else if len(all.Destinations) > 0 || len(all.Unanswered) == 0 {
			err = listing.Print(out.stdout, all.Destinations)
		}
		return cmp.Or(err, incomplete(all.Unanswered))
	})
}

// incomplete returns an error if partitions are missing from a list.
func incomplete(missing []relay.Unanswered) error {
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the list is not complete: %w", relay.Err(missing))
}

type destinationsCheckCommand struct {
	destinationFlags

	Names []string `arg:"" help:"Destinations to check (all)." optional:"" placeholder:"NAME"`
}

// Run checks destinations, one after another.
func (c *destinationsCheckCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.with(ctx, out, false, func(client *http.Client) error {
		names, missing, err := c.names(ctx, client)
		if err != nil {
			return err
		}
		results, bad := []control.Checked{}, 0
		for _, name := range names {
			result, err := c.check(ctx, out, client, name)
			if err != nil {
				return err
			}
			if results = append(results, result); result.Error != "" {
				bad++
			}
		}
		if c.JSON {
			err = printIndented(out.stdout, results)
		}
		if err == nil && bad > 0 {
			err = fmt.Errorf("%d of %d destinations failed", bad, len(results))
		}
		return errors.Join(err, incomplete(missing))
	})
}

// names returns the destinations to check, and the partitions of which it is
// not known which there are.
func (c *destinationsCheckCommand) names(ctx context.Context, client *http.Client) (names []string, missing []relay.Unanswered, err error) {
	if len(c.Names) > 0 {
		return c.Names, nil, nil
	}
	all, err := list(ctx, client)
	for i := range all.Destinations {
		names = append(names, all.Destinations[i].Name)
	}
	return names, all.Unanswered, err
}

// check checks a destination, and prints the result for people.
func (c *destinationsCheckCommand) check(ctx context.Context, out output, client *http.Client, name string) (result control.Checked, err error) {
	began := time.Now()
	err = get(ctx, client, http.MethodPost, "/destinations/check", url.Values{"name": {name}}, &result)
	switch {
	case err != nil || c.JSON:
	case result.Error != "":
		terminal.Say(out.stdout, "%s  FAILED  %s\n", name, result.Error)
	default:
		terminal.Say(out.stdout, "%s  fine, in %v\n", name, time.Since(began).Round(time.Millisecond))
	}
	return result, err
}

type destinationsDDLCommand struct {
	configFile
	nameArg
}

// Run prints the statements. It needs no server and connects to nothing.
func (c *destinationsDDLCommand) Run(out output) error {
	d, n, err := findDestination(c.Config, c.Name)
	if err != nil {
		return err
	}
	for part := range n {
		one := d
		if n > 1 {
			one = kinds.Part(d, part)
		}
		if err := printDDL(out, &one); err != nil {
			return err
		}
	}
	return nil
}

// printDDL prints the statements of a destination.
func printDDL(out output, d *config.Destination) error {
	sink, err := openSink(d)
	if err != nil {
		return err
	}
	defer func() { _ = sink.Close() }() // nothing was written
	describer, ok := sink.(destination.Describer)
	if !ok {
		return fmt.Errorf("destination %q is of kind %s, which has no tables", d.Name, d.Kind)
	}
	_, err = io.WriteString(out.stdout, describer.DDL())
	return err
}

type destinationsSuggestCommand struct {
	destinationFlags

	Name   string  `arg:"" help:"Destination whose filters to apply. Without it, all events count." optional:"" placeholder:"NAME"`
	Events int     `default:"100000" help:"How many of the last events to look at (${default})." placeholder:"N"`
	Share  float64 `default:"0.5" help:"Suggest properties that at least this share of the events of a type have (${default})." placeholder:"SHARE"`
}

// Run suggests columns. It needs no server.
func (c *destinationsSuggestCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.with(ctx, out, false, func(client *http.Client) error {
		query := url.Values{"name": {c.Name}, "events": {strconv.Itoa(c.Events)}, "share": {strconv.FormatFloat(c.Share, 'g', -1, 64)}}
		var answer control.Suggestion
		if err := get(ctx, client, http.MethodGet, "/destinations/suggest", query, &answer); err != nil {
			return err
		}
		if c.JSON {
			return printIndented(out.stdout, answer)
		}
		terminal.Say(out.stdout, "%s", answer.YAML)
		return nil
	})
}

type destinationsPauseCommand struct {
	dataFlags
	nameArg
}

// Run pauses a destination.
func (c *destinationsPauseCommand) Run(out output) error {
	return c.order(out, c.Name, "/destinations/pause", "paused; it keeps its position, and its lag grows until: trackway destinations resume "+c.Name)
}

type destinationsResumeCommand struct {
	dataFlags
	nameArg
}

// Run resumes a destination.
func (c *destinationsResumeCommand) Run(out output) error {
	return c.order(out, c.Name, "/destinations/resume", "goes on")
}

// order makes the server do something with a destination, and reports it.
func (d *dataFlags) order(out output, name, route, done string) error {
	ctx, stop := until()
	defer stop()
	return d.with(ctx, out, false, func(client *http.Client) error {
		if err := get(ctx, client, http.MethodPost, route, url.Values{"name": {name}}, nil); err != nil {
			return err
		}
		terminal.Say(out.stdout, "%s: %s\n", name, done)
		return nil
	})
}

type destinationsRewindCommand struct {
	destinationFlags
	nameArg

	To string `help:"Where to continue: beginning, now, the number of the last change that the destination should count as sent, or a time such as 2026-01-01T12:00:00Z." placeholder:"POSITION" required:""`
}

// Run rewinds a destination.
func (c *destinationsRewindCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.with(ctx, out, false, func(client *http.Client) error {
		var answer struct {
			Number uint64 `json:"number"`
		}
		if err := get(ctx, client, http.MethodPost, "/destinations/rewind", url.Values{"name": {c.Name}, "to": {c.To}}, &answer); err != nil {
			return err
		}
		if c.JSON {
			return printIndented(out.stdout, answer)
		}
		terminal.Say(out.stdout, "%s: continues after change %d\n", c.Name, answer.Number)
		return nil
	})
}

type destinationsRejectsCommand struct {
	destinationFlags
	nameArg
}

// Run lists rejects.
func (c *destinationsRejectsCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.with(ctx, out, false, func(client *http.Client) error {
		var answer struct {
			Rejects []destination.Reject `json:"rejects"`
		}
		if err := get(ctx, client, http.MethodGet, "/destinations/rejects", url.Values{"name": {c.Name}}, &answer); err != nil {
			return err
		}
		if c.JSON {
			return printIndented(out.stdout, answer)
		}
		if len(answer.Rejects) == 0 {
			terminal.Say(out.stdout, "%s has rejected nothing.\n", c.Name)
			return nil
		}
		t := terminal.NewColumns(out.stdout)
		t.Row("NUMBER", "TABLE", "REASON")
		for _, r := range answer.Rejects {
			t.Row(r.Number, r.Table, r.Reason)
		}
		return t.Flush()
	})
}

type mirrorCommand struct {
	Status mirrorStatusCommand `cmd:"" help:"Compare what the mirrors have accepted with what was sent to them."`
}

type mirrorStatusCommand struct{ destinationFlags }

// Run compares the mirrors with the store.
func (c *mirrorStatusCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.with(ctx, out, false, func(client *http.Client) error {
		var all struct {
			Mirrors    []control.Mirrored `json:"mirrors"`
			Unanswered []relay.Unanswered `json:"unanswered,omitempty"`
		}
		if err := get(ctx, client, http.MethodGet, "/destinations/mirrors", nil, &all); err != nil {
			return err
		}
		var err error
		if c.JSON {
			err = printIndented(out.stdout, all)
		} else if len(all.Mirrors) > 0 || len(all.Unanswered) == 0 {
			err = printMirrors(out.stdout, all.Mirrors)
		}
		return cmp.Or(err, incomplete(all.Unanswered))
	})
}

func printMirrors(w io.Writer, all []control.Mirrored) error {
	if len(all) == 0 {
		terminal.Say(w, "The configuration has no destinations of kind mirror.\n")
		return nil
	}
	t := terminal.NewColumns(w)
	t.Row("NAME", "PROJECT", "TYPE", "HERE", "THERE", "DIFFERENCE")
	for i := range all {
		m := &all[i]
		for _, of := range m.Types {
			t.Row(m.Name, m.Project, cmp.Or(of.Type, "(others)"), of.Ours, of.Theirs, int64(of.Theirs-of.Ours))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range all {
		m := &all[i]
		if m.Error != "" {
			terminal.Say(w, "%s, %s: %s\n", m.Name, m.Project, m.Error)
		}
		if m.LagEvents > 0 {
			terminal.Say(w, "%s: %s are still to be sent\n", m.Name, terminal.Plural(m.LagEvents, "change"))
		}
	}
	return nil
}

// toExamine returns the running server's destinations for the doctor, or nil if
// the configuration has none.
func toExamine(cfg *config.Config) *doctor.Destinations {
	if len(cfg.Destinations) == 0 {
		return nil
	}
	client := control.Client(cfg.DataDir)
	return &doctor.Destinations{
		List: func(ctx context.Context) ([]listing.Row, error) {
			all, err := list(ctx, client)
			return all.Destinations, cmp.Or(err, incomplete(all.Unanswered))
		},
		Check: func(ctx context.Context, name string) (string, error) {
			var c control.Checked
			err := get(ctx, client, http.MethodPost, "/destinations/check", url.Values{"name": {name}}, &c)
			return c.Error, err
		},
	}
}

// openSink returns the sink of a destination without connecting it. If only the
// server knows the address, a placeholder will do, because it is not used.
func openSink(d *config.Destination) (destination.Sink, error) {
	if !strings.Contains(d.URL, ":") {
		d.URL = map[string]string{config.Postgres: "postgres://server/", config.ClickHouse: "http://server"}[d.Kind]
	}
	return kinds.New(*d, kinds.Deps{Store: "unknown", Projects: func() []trackway.Project { return nil }})
}

// findDestination returns a destination of a configuration, and the number of
// partitions.
func findDestination(path, name string) (d config.Destination, partitions int, err error) {
	cfg, err := config.LoadElsewhere(path, config.Flags{}, app.CheckLimits)
	if err != nil {
		return d, 0, err
	}
	var names []string
	for i := range cfg.Destinations {
		if d := cfg.Destinations[i]; d.Name == name {
			return d, int(cfg.Partitions), nil
		}
		names = append(names, cfg.Destinations[i].Name)
	}
	if len(names) == 0 {
		return d, 0, fmt.Errorf("%s has no destinations", path)
	}
	return d, 0, fmt.Errorf("there is no destination %q, only %s", name, strings.Join(names, ", "))
}
