package listing

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"trackway/internal/config"
	"trackway/internal/terminal"
)

// Print prints the list for people.
func Print(w io.Writer, all []Row) error {
	if len(all) == 0 {
		terminal.Say(w, "The configuration has no destinations.\n")
		return nil
	}
	t := terminal.NewColumns(w)
	t.Row("NAME", "KIND", "STATE", "POSITION", "LAG", "BEHIND", "ROWS/S", "LAST WRITE", "REJECTED", "MISSED")
	for i := range all {
		d := &all[i]
		rejected, last := uint64(0), "-"
		for _, n := range d.Rejected {
			rejected += n
		}
		if d.Success != nil {
			last = d.Success.Local().Format(time.DateTime)
		}
		behind := (time.Duration(d.LagSeconds) * time.Second).String()
		t.Row(d.Name, d.Kind, d.State, d.Position, d.LagEvents, behind, fmt.Sprintf("%.1f", d.Rate), last, rejected, d.Missed)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range all {
		for _, note := range notesOf(&all[i]) {
			terminal.Say(w, "%s: %s\n", all[i].Name, note)
		}
	}
	return nil
}

// mostMisfits is the number of properties that the list for people names. It is
// bounded because clients can invent types.
const mostMisfits = 10

// notesOf returns what else an operator should know about a destination.
func notesOf(d *Row) (notes []string) {
	if d.Error != "" {
		notes = append(notes, d.Error)
	}
	misfits := slices.Clone(d.Misfits)
	slices.SortStableFunc(misfits, func(a, b Misfit) int { return cmp.Compare(b.Values, a.Values) })
	for _, m := range misfits[:min(len(misfits), mostMisfits)] {
		if m.Type == "" {
			m.Type, m.Property = "others", "others" // those beyond the number that is distinguished
		}
		notes = append(notes, fmt.Sprintf("the column of %s is empty in %s of type %s, because the value does not fit", m.Property, terminal.Plural(m.Values, "event"), m.Type))
	}
	if more := len(misfits) - mostMisfits; more > 0 {
		notes = append(notes, fmt.Sprintf("the same for %d more properties of types: see --json", more))
	}
	if d.LetsGo {
		notes = append(notes, "events expire before it has them; it has missed "+terminal.Plural(d.Missed, "event"))
	}
	if d.Lost > 0 {
		notes = append(notes, terminal.Plural(d.Lost, "change")+" could not be read from the store: see docs/damage.md")
	}
	return notes
}

// Lacking returns the names of the destinations in a configuration that are not
// in the list.
func Lacking(all []Row, configured []config.Destination) (names []string) {
	for i := range configured {
		name := configured[i].Name
		is := func(r Row) bool {
			of, _, _ := strings.Cut(r.Name, "/") // a partition comes after it
			return of == name
		}
		if !slices.ContainsFunc(all, is) {
			names = append(names, name)
		}
	}
	return names
}
