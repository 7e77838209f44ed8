// Package contracts has the commands of trackway contracts. They ask the
// running server or, if none runs, one that exists for the command only.
package contracts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"trackway/cmd/trackway/command"
	"trackway/internal/contract/book"
	"trackway/internal/contract/schema"
	"trackway/internal/contract/suggest"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	List     listCommand     `cmd:"" help:"List the contracts, and what broke them in the last 24 hours."`
	Suggest  suggestCommand  `cmd:"" help:"Propose contracts from the events that the server knows."`
	Simulate simulateCommand `cmd:"" help:"Show what contracts would have done to the stored events."`
	Test     testCommand     `cmd:"" help:"Check events in a file by their contracts."`
}

// flags are the flags of each command.
type flags struct{ command.ProjectFlags }

// inForce returns the contracts in force.
func (f *flags) inForce(ctx context.Context, t command.Tools) (v book.View, err error) {
	return v, f.AskAny(ctx, t, http.MethodGet, "/contracts", f.Query(), &v)
}

type listCommand struct{ flags }

// Run lists the contracts.
func (c *listCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	v, err := c.inForce(ctx, t)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return t.Print(t.Stdout, v)
	case len(v.Contracts) == 0:
		terminal.Say(t.Stdout, "There are no contracts: trackway contracts suggest proposes some.\n")
		return nil
	}
	columns := terminal.NewColumns(t.Stdout)
	columns.Row("TYPE", "ACTION", "CHECKED 24 H", "BROKEN", "SHARE", "MOST OFTEN")
	for i := range v.Contracts {
		r := &v.Contracts[i]
		most := ""
		if len(r.Broken) > 0 {
			b := &r.Broken[0]
			most = where(b.Property) + " expected " + b.Expected
			if b.Got != "" {
				most += ", got " + b.Got
			}
		}
		columns.Row(r.Type, string(r.Action), r.Checked24h, r.Broken24h, percent(r.Share), most)
	}
	return columns.Flush()
}

func where(property string) string {
	if property == "" {
		return "properties:"
	}
	return property + ":"
}

func percent(share float64) string {
	const whole, least = 100, 0.1
	if p := share * whole; p > 0 && p < least {
		return "<0.1%"
	}
	return strconv.FormatFloat(share*whole, 'f', 1, 64) + "%"
}

type suggestCommand struct {
	flags

	Types []string `arg:"" help:"Types of events (all)." optional:"" placeholder:"TYPE"`
}

// Run proposes contracts, as the configuration spells them.
func (c *suggestCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	query := c.Query()
	query["type"] = c.Types
	var all []suggest.Proposal
	if err := c.AskAny(ctx, t, http.MethodGet, "/contracts/suggest", query, &all); err != nil {
		return err
	}
	if c.JSON {
		return t.Print(t.Stdout, all)
	}
	printProposals(t.Stdout, all)
	if len(all) == 0 {
		terminal.Say(t.Stderr, "The catalogue knows no types of events yet.\n")
	}
	return nil
}

// printProposals prints contracts as the configuration spells them.
func printProposals(w io.Writer, all []suggest.Proposal) {
	found := false
	for i := range all {
		p := &all[i]
		if p.Why != "" { // the schema is null
			terminal.Say(w, "# %s: nothing is proposed, because %s\n", p.Type, p.Why)
			continue
		}
		if !found {
			terminal.Say(w, "contracts:\n")
		}
		found = true
		terminal.Say(w, "  # %d of the newest %s would have broken it\n", p.Broken, terminal.Plural(p.Checked, "event"))
		terminal.Say(w, "  - type: %s\n    action: report\n    schema: %s\n", strconv.Quote(p.Type), p.Schema)
	}
}

// schemaFlags choose other contracts than those in force.
type schemaFlags struct {
	Type   string `help:"Type of events that --schema is for." placeholder:"TYPE"`
	Schema string `help:"File with a JSON Schema to use instead of the contract in force." placeholder:"FILE"`
}

// contracts returns the schemas to use, by type.
func (s *schemaFlags) contracts(ctx context.Context, t command.Tools, f *flags) (map[string]json.RawMessage, error) {
	if (s.Schema == "") != (s.Type == "") && s.Schema != "" {
		return nil, errors.New("--schema needs --type")
	}
	if s.Schema != "" {
		text, err := os.ReadFile(s.Schema)
		if err != nil {
			return nil, err
		}
		compiled, wrong := schema.Parse(text)
		if wrong != nil {
			return nil, fmt.Errorf("%s: %w", s.Schema, wrong)
		}
		return map[string]json.RawMessage{s.Type: compiled.Canonical()}, nil
	}
	v, err := f.inForce(ctx, t)
	if err != nil {
		return nil, err
	}
	all := make(map[string]json.RawMessage)
	for i := range v.Contracts {
		if r := &v.Contracts[i]; s.Type == "" || s.Type == r.Type {
			all[r.Type] = r.Schema
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there are no such contracts in force: give --type and --schema")
	}
	return all, nil
}

func local(unix int64) string { return time.Unix(unix, 0).Local().Format(time.DateTime) }

// readAll reads a file, or the standard input if the name is -.
func readAll(t command.Tools, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(t.Stdin)
	}
	return os.ReadFile(name)
}

func plain(text string) string { return strings.ReplaceAll(text, "\n", " ") }
