package s3

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/destination/object/objecttest"
	"trackway/internal/prereq"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	objecttest.Program(t, "python3", prereq.DuckDB)
	address := server(t)
	for _, format := range []string{"ndjson", "parquet"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
				t.Helper()
				p := newProxy(t, address)
				d := settings(p.address(), t.Name())
				d.Format = format
				open := func() *Sink {
					s, err := New(d, "")
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				return &destinationtest.Partner{
					Config: d,
					Open:   func() destination.Sink { return open() },
					Tables: func(t *testing.T) *destinationtest.Tables {
						t.Helper()
						folder, views := download(t, open())
						return objecttest.Tables(t, views, folder)
					},
					Break: func(_ *testing.T, fault destinationtest.Fault) func() {
						p.set(fault)
						return func() { p.set("") }
					},
				}
			})
		})
	}
}

// download copies a destination into a folder, and returns the views on it.
// DuckDB could not read the bucket itself, because its S3 extension is not
// included.
func download(t *testing.T, s *Sink) (folder, views string) {
	t.Helper()
	folder = t.TempDir()
	err := s.bucket.List(t.Context(), "", func(name string) bool {
		data, _, err := s.bucket.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	place := "s3://lake/" + strings.TrimSuffix(s.bucket.prefix, "/")
	return folder, strings.ReplaceAll(s.DDL(), place, folder)
}
