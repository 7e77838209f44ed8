package verify

import (
	"io"
	"strings"
	"time"

	"trackway/internal/terminal"
)

// Lists for people are short; --json shows more.
const (
	shownFindings = 20
	shownSums     = 50
)

// Print prints the report for people. name is the destination's.
func (r *Report) Print(w io.Writer, name string) error {
	terminal.Say(w, "%s: compared %s of the log, up to change %d, with %s there.\n", name, terminal.Plural(r.Log, "event"), r.Through, terminal.Plural(r.Found, "event"))
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{r.Rejected, "rejected by the destination: see trackway destinations rejects"},
		{r.Expired, "expired here, and still there"},
		{r.Pending, "about to change there, because of an erasure"},
		{r.Unreadable, "cannot be read here: see docs/damage.md"},
	} {
		if note.n > 0 {
			terminal.Say(w, "%d %s.\n", note.n, note.text)
		}
	}
	terminal.Say(w, "missing %d, doubled %d, different %d, foreign %d\n", r.Missing, r.Doubled, r.Different, r.Foreign)
	if r.Problems() == 0 {
		return nil
	}
	if err := printSums(w, r.Sums); err != nil {
		return err
	}
	if err := printFindings(w, r); err != nil {
		return err
	}
	if r.Mended == 0 {
		terminal.Say(w, "\nTo write these again: trackway destinations verify %s --mend\n", name)
		return nil
	}
	terminal.Say(w, "\nMended: %s of the log, written again. Left: %s.\n", terminal.Plural(uint64(r.Mended), "part"), terminal.Plural(r.Left, "finding"))
	return nil
}

// printSums prints the days and types with differences.
func printSums(w io.Writer, sums []Sum) error {
	terminal.Say(w, "\n")
	t, bad := terminal.NewColumns(w), 0
	t.Row("DAY", "TYPE", "IN THE LOG", "MISSING", "DOUBLED", "DIFFERENT", "FOREIGN")
	for _, s := range sums {
		if s.Problems() == 0 {
			continue
		}
		if bad++; bad <= shownSums {
			t.Row(s.Day, s.Type, s.Log, s.Missing, s.Doubled, s.Different, s.Foreign)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if bad > shownSums {
		terminal.Say(w, "… and %d more days and types\n", bad-shownSums)
	}
	return nil
}

// printFindings prints the first findings.
func printFindings(w io.Writer, r *Report) error {
	terminal.Say(w, "\n")
	t := terminal.NewColumns(w)
	t.Row("NUMBER", "", "TYPE", "TIME", "FIELDS")
	for _, f := range r.Findings[:min(len(r.Findings), shownFindings)] {
		t.Row(f.Seq, f.Kind, f.Type, f.At.Time().UTC().Format(time.RFC3339), strings.Join(f.Fields, " "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if all := r.Problems(); all > shownFindings {
		terminal.Say(w, "… and %d more\n", all-shownFindings)
	}
	return nil
}
