package clickhouse_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

// TestGuide runs each query of docs/destinations-clickhouse.md on a few events
// of three people. One of them was two customers before.
func TestGuide(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	d := settingsOf(e.url(), database)
	d.Columns = []config.Column{{Type: "purchase", Property: "total", Name: "total", As: "decimal(12,2)"}}
	s := newSink(t, d)
	prepare(t, s)
	b := &destination.Batch{Store: store, Customers: []destination.Customer{
		{Customer: 1, Project: "demo", IDs: ids("registered", "jane@example.com"), Properties: []byte(`{}`), Changed: 90},
		{Customer: 4, Project: "demo", Survivor: 1, Properties: []byte(`{}`), Changed: 91},
	}}
	for i, line := range []string{
		`2026-03-02 1 page_view {"page":"/a"}`,
		`2026-03-03 4 cart_add {}`,
		`2026-03-04 1 purchase {"total":12.50}`,
		`2026-03-03 2 page_view {"page":"/b"}`,
		`2026-03-12 2 cart_add {}`, // later than seven days
		`2026-03-10 3 page_view {"page":"/a"}`,
		`2026-03-10 3 cart_add {}`,
		`2026-04-01 3 purchase {"total":"a lot"}`,
	} {
		f := strings.SplitN(line, " ", 4)
		day, err := time.Parse(time.DateOnly, f[0])
		if err != nil {
			t.Fatal(err)
		}
		b.Events = append(b.Events, destination.Event{
			Seq: uint64(i + 1), Project: "demo", Customer: trackway.Customer(f[1][0] - '0'), Type: f[2], At: trackway.MicrosOf(day), Properties: []byte(f[3]),
		})
		b.Through = uint64(i + 1)
	}
	writeBatch(t, s, b)

	want := []string{
		"2026-03-02\tpage_view\t1\t1\n2026-03-03\tcart_add\t1\t1\n2026-03-03\tpage_view\t1\t1\n2026-03-04\tpurchase\t1\t1\n" +
			"2026-03-10\tcart_add\t1\t1\n2026-03-10\tpage_view\t1\t1\n2026-03-12\tcart_add\t1\t1",
		"1\t3\n2\t2\n3\t1",
		"2026-03-02\t0\t2\n2026-03-02\t1\t1\n2026-03-09\t0\t1\n2026-03-09\t3\t1",
		"/a\t2\n/b\t1",
		"2026-03-01\t1\t12.5\n2026-04-01\t1\t\\N",
		"2026-03-02 00:00:00.000000\tpage_view\t{\"page\":\"/a\"}\n2026-03-03 00:00:00.000000\tcart_add\t{}\n2026-03-04 00:00:00.000000\tpurchase\t{\"total\":12.50}",
	}
	page, err := os.ReadFile("../../../docs/destinations-clickhouse.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```sql\n")[1:]
	if len(blocks) != len(want) {
		t.Fatalf("the guide has %d queries, want %d", len(blocks), len(want))
	}
	for i, block := range blocks {
		query, _, _ := strings.Cut(block, "```")
		if diff := cmp.Diff(want[i], e.query("%s", strings.ReplaceAll(query, "trackway.", database+"."))); diff != "" {
			t.Errorf("%s(-want +got):\n%s", query, diff)
		}
	}
	if t.Failed() {
		t.Log(e.query("SELECT * FROM %s.events_by_person", database))
	}
}
