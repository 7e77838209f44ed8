package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trackway/client"
)

// bounded is a command at or beyond a limit.
type bounded struct {
	command    string // empty: customers/events
	eventType  string // empty: "e"
	timestamp  string // JSON; empty: a number
	properties string // JSON
	good       bool
}

// atBounds returns commands at and beyond each limit on values and times.
func atBounds() []bounded {
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	object := func(members int) string { return `{"":0` + strings.Repeat(`,"":0`, members-1) + `}` }
	text := func(bytes int) string { return `"` + strings.Repeat("x", bytes-2) + `"` }
	var all []bounded
	value := func(good bool, values ...string) {
		for _, v := range values {
			all = append(all, bounded{good: good, properties: `{"p":` + v + `}`})
			all = append(all, bounded{good: good, properties: `{"p":` + v + `}`, command: "customers"})
		}
	}
	value(true, nested(100), `{"a":`+nested(99)+`}`, object(2000), `{"a":[`+object(2000)+`]}`,
		strings.Repeat("9", 64), "-0."+strings.Repeat("3", 63), "1e308", "5e-324", text(16<<10))
	value(false, nested(101), nested(2000), strings.Repeat(`{"a":`, 101)+"1"+strings.Repeat("}", 101), object(4097), `{"a":[`+object(4097)+`]}`,
		strings.Repeat("9", 65), `[{"a":-0.`+strings.Repeat("3", 64)+`}]`, "1e309", "1e-401", "1e999999", strings.Repeat("9", 16_000))
	long := text(16<<10 + 1)
	order := `{"products":[` + strings.Repeat(`{"id":1,"title":"shoe","price":49.90},`, 600) + `{}]}`
	name := func(n int) string { return `{"` + strings.Repeat("n", n) + `":1}` }
	all = append(all,
		bounded{good: true, properties: `{"p":` + long + `}`},
		bounded{properties: `{"p":` + long + `}`, command: "customers"},
		bounded{good: true, properties: order},
		bounded{properties: order, command: "customers"},
		bounded{good: true, properties: `{"p":` + text(800_000-len(`{"p":}e`)) + `}`},
		bounded{properties: `{"p":` + text(800_001-len(`{"p":}e`)) + `}`},
		bounded{good: true, properties: name(256)},
		bounded{properties: name(257)},
		bounded{good: true, properties: name(256), command: "customers"},
		bounded{properties: name(257), command: "customers"},
		bounded{good: true, properties: `{}`, eventType: strings.Repeat("t", 256)},
		bounded{properties: `{}`, eventType: strings.Repeat("t", 257)},
	)
	times := func(good bool, texts ...string) {
		for _, at := range texts {
			all = append(all, bounded{good: good, properties: `{}`, timestamp: at}, bounded{good: good, properties: `{}`, timestamp: at, command: "customers"})
		}
	}
	times(true, `"2024-01-01T10:00Z"`, `"20240101T100000Z"`, `"2024-01-01 10:00:00 UTC"`, `"2024-1-1 12:00:00,5 +0200"`, `"2024-01-01"`,
		`"2023-12-31T24:00:00+02"`, `0`, `1700000000.123456`, `7289654399`)
	times(false, `"2024-W01-1"`, `"2024-01-01T10:00:00 CET"`, `"2201-01-01"`, `"yesterday"`, `-1`, `7289654400`)
	return all
}

func (b *bounded) name() string {
	if b.command == "" {
		return "customers/events"
	}
	return b.command
}

// whose returns the identifier in the i-th command of an interface.
func whose(way string, i int) string { return way + "-" + strconv.Itoa(i) }

// data returns the content of the command.
func (b *bounded) data(who string) string {
	at := b.timestamp
	if at == "" {
		at = "1700000000"
	}
	if b.command == "customers" {
		return fmt.Sprintf(`{"customer_ids":{"registered":%q},"update_timestamp":%s,"properties":%s}`, who, at, b.properties)
	}
	return fmt.Sprintf(`{"customer_ids":{"registered":%q},"event_type":%q,"timestamp":%s,"properties":%s}`, who, b.typ(), at, b.properties)
}

func (b *bounded) typ() string {
	if b.eventType == "" {
		return "e"
	}
	return b.eventType
}

// TestEveryWayInHasTheSameBounds: if one interface accepts a command, all
// others accept it, and a command beyond a limit fails alone. Accepted commands
// are exported, and the export is imported again without loss.
func TestEveryWayInHasTheSameBounds(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	s.log.mayHold("e")
	all := atBounds()
	ways := map[string]func(*testing.T, []bounded) map[int]string{
		"single": s.bySingleCalls, "batch": s.byBatches, "lines": s.byLines, "rows": s.byRows, "sdk": s.bySDK,
	}
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		refused := ways[way](t, all)
		for i := range all {
			if way == "sdk" && !all[i].fitsSDK() {
				continue
			}
			if reason, is := refused[i]; is == all[i].good {
				t.Errorf("%s %s: accepted %t, want %t; %s", way, shorten(all[i].data("")), !is, all[i].good, shorten(reason))
			}
		}
	}
	exported := filepath.Join(t.TempDir(), "all.ndjson")
	s.run(t, 0, "export", "-o", exported)
	again := filepath.Join(t.TempDir(), "again.ndjson")
	s.run(t, 0, "import", exported, "--data", filepath.Dir(exported)+"/data")
	s.run(t, 0, "export", "-o", again, "--data", filepath.Dir(exported)+"/data")
	want, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(again); err != nil || !bytes.Equal(got, want) {
		t.Errorf("an export of %d bytes was imported, and exported again as %d others (%v)", len(want), len(got), err)
	}
}

// fitsSDK reports whether the Go client can send this: it formats times itself,
// and limits a command's identifiers and properties together.
func (b *bounded) fitsSDK() bool {
	return b.timestamp == "" && len(b.properties) < 800_000-100
}

func shorten(s string) string {
	const most = 150
	if len(s) > most {
		return s[:most/2] + "…" + s[len(s)-most/2:]
	}
	return s
}

func (s *server) bySingleCalls(t *testing.T, all []bounded) map[int]string {
	t.Helper()
	refused := map[int]string{}
	for i := range all {
		res := s.do(t, request{path: "/track/v2/projects/{token}/" + all[i].name(), body: []byte(all[i].data(whose("single", i)))})
		if !res.success() {
			refused[i] = res.String()
		}
	}
	return refused
}

func (s *server) byBatches(t *testing.T, all []bounded) map[int]string {
	t.Helper()
	const size = 10
	refused := map[int]string{}
	for from := 0; from < len(all); from += size {
		var commands []string
		for i := from; i < min(from+size, len(all)); i++ {
			commands = append(commands, all[i].line("batch", i))
		}
		res := s.do(t, request{path: "/track/v2/projects/{token}/batch", body: []byte(`{"commands":[` + strings.Join(commands, ",") + `]}`)})
		var answer struct {
			Results []struct {
				Success bool
				Errors  []string
			}
		}
		if err := json.Unmarshal(res.body, &answer); err != nil || len(answer.Results) != len(commands) {
			t.Fatalf("got %s (%v)", shorten(res.String()), err)
		}
		for i, result := range answer.Results {
			if !result.Success {
				refused[from+i] = strings.Join(result.Errors, "; ")
			}
		}
	}
	return refused
}

func (b *bounded) line(way string, i int) string {
	return `{"name":"` + b.name() + `","data":` + b.data(whose(way, i)) + `}`
}

func (s *server) byLines(t *testing.T, all []bounded) map[int]string {
	t.Helper()
	var file strings.Builder
	for i := range all {
		file.WriteString(all[i].line("lines", i) + "\n")
	}
	refused := map[int]string{}
	for line, reason := range s.imported(t, "all.ndjson", file.String()) {
		refused[line-1] = reason
	}
	return refused
}

// byRows imports two CSV files, one of events and one of customers.
func (s *server) byRows(t *testing.T, all []bounded) map[int]string {
	t.Helper()
	refused := map[int]string{}
	for _, name := range []string{"customers", "customers/events"} {
		at := map[string]string{"customers": "update_timestamp", "customers/events": "timestamp"}[name]
		var file strings.Builder
		w := csv.NewWriter(&file)
		header := []string{"customer_ids.registered", at, "properties"}
		if name != "customers" {
			header = append(header, "event_type")
		}
		_ = w.Write(header) // in memory
		var places []int
		for i := range all {
			if all[i].name() != name {
				continue
			}
			places = append(places, i)
			when := strings.Trim(all[i].timestamp, `"`)
			if when == "" {
				when = "1700000000"
			}
			_ = w.Write([]string{whose("rows", i), when, all[i].properties, all[i].typ()}[:len(header)]) // in memory
		}
		w.Flush()
		for line, reason := range s.imported(t, at+".csv", file.String()) {
			refused[places[line-2]] = reason
		}
	}
	return refused
}

// imported imports a file and returns why lines were refused.
func (s *server) imported(t *testing.T, name, text string) map[int]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0, "import", path, "--allow-rejects")
	rejects, err := os.Open(path + ".rejects.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rejects.Close() }() // only read
	refused := map[int]string{}
	lines := bufio.NewScanner(rejects)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var row struct {
			Line  int
			Error string
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		refused[row.Line] = row.Error
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return refused
}

// bySDK sends those commands that the Go client can send.
func (s *server) bySDK(t *testing.T, all []bounded) map[int]string {
	t.Helper()
	refused := map[int]string{} // filled while c sends, and read afterwards
	own := map[int]string{}     // by the client's own limits
	c := sdk(t, "http://"+s.public, func(o *client.Options) {
		o.OnReject = func(_ context.Context, r client.Rejection) {
			var command struct {
				Data struct {
					IDs map[string]string `json:"customer_ids"`
				}
			}
			if err := json.Unmarshal(r.Command, &command); err != nil {
				t.Error(err)
			}
			i, err := strconv.Atoi(strings.TrimPrefix(command.Data.IDs["registered"], "sdk-"))
			if err != nil {
				t.Error(err)
			}
			refused[i] = r.Reason
		}
	})
	for i := range all {
		if !all[i].fitsSDK() {
			continue
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(all[i].properties), &raw); err != nil {
			t.Fatal(err)
		}
		properties := client.Properties{}
		for name, value := range raw {
			properties[name] = value
		}
		ids := client.IDs{"registered": whose("sdk", i)}
		var err error
		if all[i].command == "" {
			err = c.Track(ids, all[i].typ(), properties)
		} else {
			err = c.Identify(ids, properties)
		}
		if err != nil {
			own[i] = err.Error()
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	maps.Copy(refused, own)
	return refused
}
