// Package objecttest reads objects of internal/destination/object in tests,
// with tools of others: DuckDB and encoding/json.
package objecttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/prereq"
)

// Program returns the path of a program that `tools/install-partners` installs
// with the partners of these kinds. The test skips if it is not installed.
func Program(tb testing.TB, name, what string) string {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "testdata", ".venv", "bin", name)
	if _, err := os.Stat(path); err != nil {
		prereq.Missing(tb, what, "`tools/install-partners objects` installs it: "+path)
	}
	return path
}

// script runs the statements of its input, and prints the rows of the last.
const script = `
import duckdb, json, sys
db = duckdb.connect(config={"threads": 1, "memory_limit": "512MB"})
db.execute("SET TimeZone = 'UTC'")
print(json.dumps(db.execute(sys.stdin.read()).fetchall(), default=str))
`

// Query runs statements in DuckDB and returns the rows of the last one. Numbers
// are [json.Number], and types that JSON does not have are text.
func Query(tb testing.TB, statements string) [][]any {
	tb.Helper()
	run := exec.CommandContext(tb.Context(), Program(tb, "python3", prereq.DuckDB), "-c", script) //nolint:gosec // its path is ours
	run.Stdin = strings.NewReader(statements)
	var stderr bytes.Buffer
	run.Stderr = &stderr
	out, err := run.Output()
	if err != nil {
		tb.Fatalf("DuckDB: %v\n%s\n%s", err, stderr.Bytes(), statements)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	var rows [][]any
	if err := d.Decode(&rows); err != nil {
		tb.Fatal(err)
	}
	return rows
}

// Text formats rows as psql does in unaligned mode.
func Text(rows [][]any) string {
	var lines []string
	for _, row := range rows {
		var cells []string
		for _, c := range row {
			if c == nil {
				c = "NULL"
			}
			cells = append(cells, fmt.Sprint(c))
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	return strings.Join(lines, "\n")
}

// tables reads everything in one query, so that DuckDB starts only once.
const tables = `
SELECT 'event' AS kind, seq AS n, project AS a, customer AS m, type AS b, epoch_us(e.at) AS t, epoch_us(received_at) AS u, CAST(properties AS VARCHAR) AS p FROM events e
UNION ALL BY NAME SELECT 'customer' AS kind, customer AS n, project AS a, changed AS m, CAST(erased AS VARCHAR) AS b, epoch_us(created_at) AS t, CAST(properties AS VARCHAR) AS p FROM customers
UNION ALL BY NAME SELECT 'id' AS kind, customer AS n, name AS a, value AS b FROM customer_ids WHERE NOT removed
UNION ALL BY NAME SELECT 'map' AS kind, customer AS n, survivor AS m FROM customer_map
UNION ALL BY NAME SELECT 'erasure' AS kind, erasure AS n, project AS a, customer AS m, epoch_us(asked_at) AS t, epoch_us(done_at) AS u FROM erasures
`

// Tables reads everything below a folder through the views. It reads properties
// in NDJSON with encoding/json, because DuckDB formats numbers in its own way.
func Tables(tb testing.TB, views, folder string) *destinationtest.Tables {
	tb.Helper()
	raw := properties(tb, folder)
	t := &destinationtest.Tables{Map: map[trackway.Customer]trackway.Customer{}}
	for _, r := range Query(tb, views+"\n"+tables) {
		number := func(i int) int64 {
			if r[i] == nil {
				return 0
			}
			n, err := r[i].(json.Number).Int64()
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
		str := func(i int) string { s, _ := r[i].(string); return s }
		switch str(0) {
		case "event":
			e := destination.Event{
				Seq: uint64(number(1)), Project: str(2), Customer: trackway.Customer(number(3)), Type: str(4),
				At: trackway.Micros(number(5)), Received: trackway.Micros(number(6)), Properties: []byte(str(7)),
			}
			if own, ok := raw[fmt.Sprint("events ", e.Seq)]; ok {
				e.Properties = own
			}
			t.Events = append(t.Events, e)
		case "customer":
			c := destination.Customer{
				Customer: trackway.Customer(number(1)), Project: str(2), Changed: uint64(number(3)), Erased: str(4) == "true",
				Created: trackway.Micros(number(5)), Properties: []byte(str(7)),
			}
			if own, ok := raw[fmt.Sprint("customers ", uint64(c.Customer), " ", c.Changed)]; ok {
				c.Properties = own
			}
			t.Customers = append(t.Customers, c)
		case "id":
			t.IDs = append(t.IDs, destinationtest.ID{Customer: trackway.Customer(number(1)), Name: str(2), Value: str(4)})
		case "map":
			t.Map[trackway.Customer(number(1))] = trackway.Customer(number(3))
		case "erasure":
			t.Erasures = append(t.Erasures, destination.Erasure{
				ID: uint64(number(1)), Project: str(2), Customer: trackway.Customer(number(3)), Asked: trackway.Micros(number(5)), Done: trackway.Micros(number(6)),
			})
		}
	}
	return t
}

// properties returns the properties in NDJSON, by seq, or by customer and
// change.
func properties(tb testing.TB, folder string) map[string][]byte {
	tb.Helper()
	all := map[string][]byte{}
	for _, table := range []string{"events", "customers"} {
		err := filepath.WalkDir(filepath.Join(folder, table), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(path, ".ndjson") {
				return err
			}
			data, err := readPlain(path)
			if err != nil {
				return err
			}
			if err := collect(all, table, data); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

// readPlain reads a file, and decompresses it if its name says so.
func readPlain(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(path, ".zst") {
		return data, err
	}
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(z)
}

// collect adds the properties of lines.
func collect(all map[string][]byte, table string, data []byte) error {
	for line := range bytes.Lines(data) {
		var r struct {
			Seq, Customer, Changed uint64
			Properties             json.RawMessage
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		key := fmt.Sprint("events ", r.Seq)
		if table == "customers" {
			key = fmt.Sprint("customers ", r.Customer, " ", r.Changed)
		}
		all[key] = bytes.Clone(r.Properties)
	}
	return nil
}
