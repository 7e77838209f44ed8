package postgres_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestNoTemporaryTables has a role that may not create temporary tables, which
// a write needs. Prepare must report this.
func TestNoTemporaryTables(t *testing.T) {
	t.Parallel()
	d := database(t)
	name := d.SQL(t, "SELECT quote_ident(current_database())")[0][0]
	d.SQL(t, fmt.Sprintf(`REVOKE TEMPORARY ON DATABASE %s FROM PUBLIC, %q`, name, d.Role))
	s := unprepared(t, d.URL())
	if _, err := s.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT TEMPORARY ON DATABASE "+name) {
		t.Fatalf("got %v", err)
	}
	d.SQL(t, fmt.Sprintf(`GRANT TEMPORARY ON DATABASE %s TO %q`, name, d.Role))
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
}
