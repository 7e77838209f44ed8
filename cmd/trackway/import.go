package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trackway/internal/control"
	"trackway/internal/feed"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type importCommand struct {
	dataFlags
	projectFlag

	Files []string `arg:"" help:"NDJSON or CSV files, plain or as .gz or .zst, or folders of them; - is the standard input." name:"file" placeholder:"FILE"`

	From      string   `enum:",segment,rudderstack,posthog,mixpanel,bloomreach" default:"" help:"Vendor that exported the files: segment, rudderstack, posthog, mixpanel or bloomreach. Then the files are imported as they are." placeholder:"VENDOR"`
	Format    string   `enum:",ndjson,csv" default:"" help:"ndjson or csv, if the file's name does not show it." placeholder:"FORMAT"`
	Map       []string `help:"CSV: target of a column, such as customer_ids.registered=email." placeholder:"TARGET=COLUMN" sep:"none"`
	Mapping   string   `help:"CSV: file with a mapping, in YAML or JSON." placeholder:"FILE"`
	EventType string   `help:"CSV, and files of Bloomreach: event type of the rows." placeholder:"TYPE"`
	String    []string `help:"CSV: column to import as text, whatever it looks like." placeholder:"COLUMN" sep:"none"`
	JSON      []string `help:"CSV: column whose cells are JSON." name:"json" placeholder:"COLUMN" sep:"none"`
	Delimiter string   `help:"CSV: character between cells (a comma; in .tsv files a tab)." placeholder:"CHAR"`
	Raw       bool     `help:"CSV: keep the apostrophe that an export puts before what spreadsheets would take for formulas."`

	AllowRejects bool   `help:"Exit with success even if rows are refused."`
	Again        bool   `help:"Import from the beginning, including what an interrupted import has already done."`
	StateDir     string `help:"Directory for the state of the import and the rejected rows (beside each file)." placeholder:"DIR"`
	Quiet        bool   `help:"Print no progress." short:"q"`
}

// Run imports the files one after the other. A signal ends it cleanly: Run
// waits for what it has sent, and records it.
func (c *importCommand) Run(out output, in input) error {
	ctx, stop := until()
	defer stop()
	mapping, err := c.mapping()
	if err != nil {
		return err
	}
	if c.Files, err = feed.Files(c.Files); err != nil {
		return err
	}
	if len(c.Files) > 1 && slices.Contains(c.Files, feed.Stdin) {
		return errors.New("the standard input is imported alone")
	}
	for _, path := range c.Files { // before a store is created for nothing
		if err := feed.Check(path, feed.Options{Format: c.Format, From: c.From, Mapping: mapping}); err != nil {
			return fmt.Errorf("%s: %w", terminal.Shown(path), err)
		}
	}
	return c.with(ctx, out, true, func(client *http.Client) error {
		into, err := storeOf(ctx, client)
		if err != nil {
			return err
		}
		o := feed.Options{
			Store: into.Name, Project: c.Project, Format: c.Format, From: c.From, Mapping: mapping,
			StateDir: c.StateDir, Again: c.Again, Stdin: in.stdin,
		}
		return c.files(ctx, out, o, func(path string) feed.Post {
			query := o.Query(path)
			return func(ctx context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
				return running.Control(ctx, client, http.MethodPost, "/import", query, body, length)
			}
		})
	})
}

// storeOf asks which store this is.
func storeOf(ctx context.Context, client *http.Client) (into control.Store, err error) {
	answer, err := running.Control(ctx, client, http.MethodGet, "/store", nil, nil, 0)
	if err != nil {
		return into, err
	}
	defer answer.Close()
	return into, json.NewDecoder(answer).Decode(&into)
}

// mapping combines the mapping file and the flags. The flags win.
func (c *importCommand) mapping() (m feed.Mapping, err error) {
	if c.Mapping != "" {
		if m, err = feed.LoadMapping(c.Mapping); err != nil {
			return m, err
		}
	}
	if m.Map == nil {
		m.Map = map[string]string{}
	}
	if err := c.mapInto(m.Map); err != nil {
		return m, err
	}
	if c.EventType != "" {
		m.EventType = c.EventType
	}
	if c.Delimiter != "" {
		m.Delimiter = c.Delimiter
	}
	m.Raw = m.Raw || c.Raw
	m.String, m.JSON = append(m.String, c.String...), append(m.JSON, c.JSON...)
	if err := m.Fits(c.From); err != nil {
		return m, err
	}
	if n := len([]rune(m.Delimiter)); n > 1 {
		return m, fmt.Errorf("the delimiter is one character, not %d", n)
	}
	if strings.ContainsAny(m.Delimiter, "\"\r\n") {
		return m, fmt.Errorf("the delimiter cannot be %q", m.Delimiter)
	}
	return m, nil
}

// mapInto adds the mappings of the flags. It is an error if they name a target
// twice: nobody can tell which column was meant.
func (c *importCommand) mapInto(targets map[string]string) error {
	seen := make(map[string]bool, len(c.Map))
	for _, text := range c.Map {
		target, column, ok := strings.Cut(text, "=")
		switch {
		case !ok:
			return fmt.Errorf("--map %q: expected TARGET=COLUMN", text)
		case seen[target]:
			return fmt.Errorf("--map: the target %q is given twice", target)
		}
		seen[target], targets[target] = true, column
	}
	return nil
}

// files imports the files. The state of a finished file stays until all files
// are finished, so that the same command can resume after an interruption.
func (c *importCommand) files(ctx context.Context, out output, o feed.Options, post func(path string) feed.Post) error {
	var refused int64
	for _, path := range c.Files {
		o.Post = post(path)
		r, err := c.file(ctx, out, path, o)
		if err != nil {
			return err
		}
		refused += r.Totals.Refused
	}
	if err := feed.Forget(c.Files, o); err != nil {
		return err
	}
	if refused > 0 && !c.AllowRejects {
		return fmt.Errorf("%d rows were refused", refused)
	}
	return nil
}

func (c *importCommand) file(ctx context.Context, out output, path string, o feed.Options) (feed.Result, error) {
	began := time.Now()
	p := terminal.NewProgress(out.stderr, c.Quiet, terminal.Shown(filepath.Base(path)), began)
	o.Report = func(s feed.Status) { p.At(time.Now(), s.Totals.Rows(), s.Read, s.Size) }
	r, err := feed.File(ctx, path, o)
	p.Done()
	name := terminal.Shown(path)
	switch {
	case errors.Is(err, context.Canceled) && path != feed.Stdin:
		return r, fmt.Errorf("%s: interrupted after line %d; the same command continues there", name, r.Totals.Lines)
	case errors.Is(err, context.Canceled):
		return r, fmt.Errorf("interrupted after line %d", r.Totals.Lines)
	case err != nil && path != feed.Stdin && r.Totals.Lines > 0:
		return r, fmt.Errorf("%s: %w; the same command continues after line %d", name, err, r.Totals.Lines)
	case err != nil:
		return r, fmt.Errorf("%s: %w", name, err)
	}
	tell(out, path, &r, time.Since(began))
	return r, nil
}

// tell reports the result of a file.
func tell(out output, path string, r *feed.Result, took time.Duration) {
	t := r.Totals
	if path = terminal.Shown(path); path == feed.Stdin {
		path = "Standard input"
	}
	if r.Before {
		terminal.Say(out.stdout, "%s was imported before the interruption: %d rows.\n", path, t.Rows())
		return
	}
	went := ""
	if r.Resumed > 0 {
		went = fmt.Sprintf(", from line %d on", r.Resumed+1)
	}
	terminal.Say(out.stdout, "%s: %d rows in %v%s. Events stored: %d, duplicates: %d, customer updates: %d, refused: %d.\n",
		path, t.Rows(), took.Round(time.Millisecond), went, t.Stored, t.Duplicates, t.Updates, t.Refused)
	if t.LeftOut > 0 {
		terminal.Say(out.stdout, "Identifiers that name nobody, and were left out: %d.\n", t.LeftOut)
	}
	if r.Rejects != "" {
		terminal.Say(out.stdout, "Refused rows, with reasons: %s\n", terminal.Shown(r.Rejects))
	}
	if len(r.Unused) > 0 {
		terminal.Say(out.stdout, "Columns that were not imported: %s\n", feed.Quoted(r.Unused))
	}
}
