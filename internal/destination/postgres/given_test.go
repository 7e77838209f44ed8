package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"trackway/internal/config"
)

// environment is what a server may have in its environment: all of it is for
// somebody else.
func environment(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".pgpass"), []byte("*:*:*:*:of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "PGHOST": "env.example", "PGPORT": "1111", "PGUSER": "env", "PGPASSWORD": "of-the-environment", "PGDATABASE": "env",
		"PGAPPNAME": "env", "PGOPTIONS": "-c x=env", "PGTZ": "env", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/env", "PGSSLCERT": "/env", "PGSSLKEY": "/env",
		"PGCONNECT_TIMEOUT": "77", "PGTARGETSESSIONATTRS": "standby", "PGCHANNELBINDING": "require", "PGREQUIREAUTH": "none",
		"PGSSLNEGOTIATION": "direct", "PGMINPROTOCOLVERSION": "3.2",
	} {
		t.Setenv(name, value)
	}
}

// TestManaged: a destination from the managed file uses what its URL says, and
// nothing of the server's environment or home directory.
func TestManaged(t *testing.T) {
	environment(t)
	for _, test := range []struct{ url, host, user, password, database string }{
		{"postgres://u:p@db.example:5433/d", "db.example:5433", "u", "p", "d"},
		{"postgres://u:p@db.example/d?sslmode=disable", "db.example:5432", "u", "p", "d"},
		{"postgres://u@[::1]/d", "::1:5432", "u", "", "d"},
		{"postgres://u@db.example:5433", "db.example:5433", "u", "", ""},
		{"postgres:///?host=db.example&port=5433&user=u&password=p&dbname=d", "db.example:5433", "u", "p", "d"},
		{"postgresql://", "localhost:5432", "", "", ""},
		{"host=db.example user=u", "db.example:5432", "u", "", ""},
		{"host=db.example port=5433 user='u' password='p q' dbname=d", "db.example:5433", "u", "p q", "d"},
	} {
		text, err := alone(test.url)
		if err != nil {
			t.Fatal(err)
		}
		c, err := pgx.ParseConfig(text)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		got := strings.Join([]string{c.Host + ":" + strconv.Itoa(int(c.Port)), c.User, c.Password, c.Database}, "|")
		if want := strings.Join([]string{test.host, test.user, test.password, test.database}, "|"); got != want {
			t.Errorf("%s: got %s, want %s", test.url, got, want)
		}
		for name, value := range c.RuntimeParams {
			if value != "" {
				t.Errorf("%s: %s is %q", test.url, name, value)
			}
		}
		if c.ValidateConnect != nil || c.RequireAuth != "" || c.ChannelBinding != "prefer" || c.SSLNegotiation != "" || c.MinProtocolVersion != "3.0" {
			t.Errorf("%s: got %+v", test.url, c.Config)
		}
	}
	d := config.Destination{Name: "db", Kind: config.Postgres, URL: "postgres://u@db.example/d", Managed: true}
	s, err := New(d)
	if err != nil || s.config.Password != "" || s.config.Host != "db.example" || s.config.RuntimeParams["application_name"] != "trackway" {
		t.Fatalf("got %+v, %v", s, err)
	}
	if len(s.config.RuntimeParams) != 1 { // an empty time zone would be refused
		t.Errorf("got %v", s.config.RuntimeParams)
	}
	t.Setenv("PGSERVICE", "env")
	if _, err := New(d); err == nil || !strings.Contains(err.Error(), "PGSERVICE") {
		t.Errorf("got %v", err)
	}
}

// TestOfTheOperator: a destination of the operator's file may leave a part of
// what it needs to the environment, as with psql.
func TestOfTheOperator(t *testing.T) {
	t.Setenv("PGPASSWORD", "of-the-environment")
	s, err := New(config.Destination{Name: "db", Kind: config.Postgres, URL: "postgres://u@db.example/d?sslmode=disable"})
	if err != nil || s.config.Password != "of-the-environment" {
		t.Errorf("got %+v, %v", s, err)
	}
}
