package feed

import (
	"strings"
	"testing"

	"trackway/internal/control"
)

// A quote that is not closed takes the rows after it into its cell. Nobody can
// then tell where rows begin, so the import stops.
func TestUnclosedQuote(t *testing.T) {
	t.Parallel()
	const header, good = "customer_ids.cookie,event_type,timestamp\n", "c,t,1\n"
	tests := map[string]struct{ text, want string }{
		"to the end":        {header + strings.Repeat(good, 9) + "\"broken,t,1\n" + strings.Repeat(good, 990), "begins in line 11"},
		"to the next quote": {header + strings.Repeat(good, 9) + "\"broken,t,1\n" + "c,\"t\",1\n" + good, "begins in line 11"},
		"over the bound":    {header + strings.Repeat(good, 9) + "\"broken,t,1\n" + strings.Repeat(good, control.MaxLine), "begins in line 11"},
		"one long line":     {header + strings.Repeat(good, 9) + strings.Repeat("x", control.MaxLine) + ",t,1\n" + good, "begins in line 11"},
		"in the header":     {`"` + header + strings.Repeat(good, control.MaxLine), "header"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newServer(t)
			r, err := File(t.Context(), write(t, "rows.csv", test.text), Options{Post: f.post})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if want := int64(len(f.types())); r.Totals.Stored != want || r.Totals.Refused != 0 || name != "in the header" && want != 9 {
				t.Errorf("got %+v, want the %d rows before it", r.Totals, want)
			}
		})
	}
}

// A one-line row that is not valid CSV is refused, and the rows after it are
// not affected.
func TestBrokenRow(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text := "customer_ids.cookie,event_type,timestamp\nc,a,1\n\"c\"x,b,1\nc,\"two\nlines\",1,more\nc,d,1\n\"unclosed,e,1\n"
	r := mustFile(t, write(t, "rows.csv", text), Options{Post: f.post})
	if want := (Totals{Lines: 7, Stored: 2, Refused: 3}); r.Totals != want {
		t.Errorf("got %+v, want %+v", r.Totals, want)
	}
}
