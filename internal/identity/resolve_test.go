package identity

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"trackway"
	"trackway/internal/format/tracking"
)

// TestResolve runs the cases of testdata, which describe the results of
// commands in words. A file is one world; its commands are
//
//	send        resolves each line as one command's identifiers, such as
//	            "registered=r1 cookie=c1"; cookie=c{1..65} stands for 65 of them
//	show        prints every customer, or those named, such as "show 1 2"
//	who         prints which customer the identifier on each line leads to
//
// `go test ./internal/identity -rewrite` writes the actual results into the
// files. Review the difference before you keep it.
func TestResolve(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			var out strings.Builder
			switch d.Cmd {
			case "send":
				for line := range strings.SplitSeq(d.Input, "\n") {
					out.WriteString(sendLine(t, w, line))
				}
			case "show":
				showCustomers(t, w, d, &out)
			case "who":
				for line := range strings.Lines(d.Input) {
					for _, id := range parseIDs(t, line) {
						fmt.Fprintf(&out, "%s=%s: %d\n", id.Name, id.Value, w.index[id])
					}
				}
			default:
				d.Fatalf(t, "there is no command %q", d.Cmd)
			}
			return out.String()
		})
	})
}

func sendLine(t *testing.T, w *world, line string) string {
	t.Helper()
	last := w.next
	d, refused, broken := w.send(parseIDs(t, line))
	if broken != "" {
		t.Fatalf("%s: %s", line, broken)
	}
	if refused != nil {
		return fmt.Sprintf("refused, %s %s: %s\n", refused.Code, refused.Field, tracking.Text(refused))
	}
	said := []string{"customer " + strconv.FormatUint(uint64(d.Holder.Customer), 10)}
	if d.Holder.Customer == last {
		said[0] = "new " + said[0]
	}
	for _, h := range d.Absorbed {
		said = append(said, fmt.Sprintf("absorbs %d", h.Customer))
	}
	for _, h := range d.Robbed {
		said = append(said, fmt.Sprintf("takes from %d", h.Customer))
	}
	if len(d.Assign) > 0 {
		said = append(said, "assigns "+joinIDs(d.Assign))
	}
	if len(d.Release) > 0 {
		said = append(said, "drops "+joinIDs(d.Release))
	}
	if !d.Changed {
		said = append(said, "as it was")
	}
	return strings.Join(said, "; ") + "\n"
}

// parseIDs reads "name=value name=v{1..9}". Like validation, it drops
// repetitions.
func parseIDs(t *testing.T, line string) (ids []trackway.Identifier) {
	t.Helper()
	for field := range strings.FieldsSeq(line) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			t.Fatalf("%q is not name=value", field)
		}
		first, last := 0, 0
		text, span, ranged := strings.Cut(value, "{")
		if ranged {
			if _, err := fmt.Sscanf(span, "%d..%d}", &first, &last); err != nil {
				t.Fatalf("%q: %v", field, err)
			}
		}
		for i := first; i <= last; i++ {
			v := text
			if ranged {
				v += strconv.Itoa(i)
			}
			if id := identifier(name, v); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func joinIDs(ids []trackway.Identifier) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.Name + "=" + id.Value
	}
	slices.Sort(texts)
	if len(texts) > 8 {
		return fmt.Sprintf("%d identifiers", len(texts))
	}
	return strings.Join(texts, " ")
}

func showCustomers(t *testing.T, w *world, d *datadriven.TestData, out *strings.Builder) {
	t.Helper()
	customers := slices.Sorted(maps.Keys(w.holders))
	if len(d.CmdArgs) > 0 {
		customers = customers[:0]
		for _, arg := range d.CmdArgs {
			n, err := strconv.ParseUint(arg.Key, 10, 64)
			if err != nil || w.holders[trackway.Customer(n)] == nil {
				t.Fatalf("there is no customer %q", arg.Key)
			}
			customers = append(customers, trackway.Customer(n))
		}
	}
	for _, c := range customers {
		h := w.holders[c]
		fmt.Fprintf(out, "%d:", c)
		if h.MergedInto != 0 {
			fmt.Fprintf(out, " merged into %d", h.MergedInto)
		}
		for i := 0; i < len(h.IDs); {
			name := h.IDs[i].Name
			var values []string
			for ; i < len(h.IDs) && h.IDs[i].Name == name; i++ {
				values = append(values, h.IDs[i].Value)
			}
			if n := len(values); n > 12 {
				values = slices.Concat(values[:3], []string{fmt.Sprintf("… %d …", n-6)}, values[n-3:])
			}
			fmt.Fprintf(out, " %s=%s", name, strings.Join(values, ","))
		}
		out.WriteByte('\n')
	}
}
