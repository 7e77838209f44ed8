package terminal

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Columns prints aligned columns for people.
type Columns struct{ w *tabwriter.Writer }

// NewColumns returns columns on w.
func NewColumns(w io.Writer) Columns {
	const gap = 2
	return Columns{tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)}
}

// Row adds a row. Flush returns its error.
func (c Columns) Row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			_, _ = c.w.Write([]byte{'\t'})
		}
		_, _ = io.WriteString(c.w, Printable(fmt.Sprint(cell)))
	}
	_, _ = c.w.Write([]byte{'\n'})
}

// Flush prints the rows.
func (c Columns) Flush() error { return c.w.Flush() }

// Plural returns "1 event" or "2 events".
func Plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
