package file

import (
	"path/filepath"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/destination/object/objecttest"
	"trackway/internal/prereq"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	objecttest.Program(t, "python3", prereq.DuckDB)
	for _, format := range []string{"ndjson", "parquet"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
				t.Helper()
				d := config.Destination{Name: "out", Kind: "file", Path: filepath.Join(t.TempDir(), "out"), Format: format}
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
						return objecttest.Tables(t, open().DDL(), d.Path)
					},
				}
			})
		})
	}
}
