package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/postgres"
)

// TestURLWithoutFile has a valid URL that names a missing file.
func TestURLWithoutFile(t *testing.T) {
	t.Parallel()
	_, err := postgres.New(config.Destination{Name: "w", URL: "postgres://u:s3cr3t@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/ca.pem: no such file") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v", err)
	}
}

// TestColumnNames declares columns with names that PostgreSQL or the views use,
// and with odd names that work.
func TestColumnNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"person", "xmin", "CTID", "tableoid"} {
		_, err := postgres.New(config.Destination{Name: "w", URL: "postgres://h/d", Columns: []config.Column{{Property: "p", Name: name, As: "text"}}})
		if strings.ToLower(name) != name {
			if err != nil {
				t.Errorf("column %q: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "give it another name") {
			t.Errorf("column %q: got %v", name, err)
		}
	}
	d := database(t)
	odd := []string{`a"b`, "select", "user", "e", "m", `x'; DROP TABLE events; --`, "oid", "$1", "CTID", "日本", "a b"}
	s := open(t, d, func(c *config.Destination) {
		for i, name := range odd {
			c.Columns = append(c.Columns, config.Column{Type: odd[len(odd)-1-i], Property: name, Name: name, As: "text"})
		}
	})
	if _, err := d.Try(s.DDL()); err != nil {
		t.Error(err)
	}
	b := &destination.Batch{Store: storeID, Through: 100}
	for i, name := range odd {
		b.Events = append(b.Events, event(uint64(i+1), odd[len(odd)-1-i], fmt.Sprintf(`{%q:"v"}`, name)))
	}
	write(t, s, b)
	for i, name := range odd {
		quoted := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
		expect(t, d, fmt.Sprintf("SELECT seq, %s FROM %s", quoted(name), quoted("v_"+odd[len(odd)-1-i])), fmt.Sprintf("%d|v", i+1))
	}
}
