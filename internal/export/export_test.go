package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"trackway"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

var shop = &trackway.Project{Number: 7, Hard: []string{"registered"}, Soft: []string{"cookie"}}

// fakeSnapshot has a few customers and events.
type fakeSnapshot struct {
	query.Snapshot // what is not asked for

	profiles []trackway.Profile
	merged   map[trackway.Customer]trackway.Customer
	all      trackway.Customer // the customer that the others were merged into
	log      []trackway.Event
	lost     map[uint64]bool // of them
	asked    int             // for profiles
}

func (f *fakeSnapshot) Profiles(_ uint32, yield func(*trackway.Profile) bool) error {
	for i := range f.profiles {
		if !yield(&f.profiles[i]) {
			return nil
		}
	}
	return nil
}

func (f *fakeSnapshot) Survivor(_ uint32, c trackway.Customer) (trackway.Customer, error) {
	if into, ok := f.merged[c]; ok {
		return into, nil
	}
	return max(c, f.all), nil
}

func (f *fakeSnapshot) Profile(_ uint32, c trackway.Customer) (*trackway.Profile, error) {
	f.asked++
	for _, p := range f.profiles {
		if p.Customer == c {
			return &p, nil
		}
	}
	return nil, errors.New("no such customer")
}

func (f *fakeSnapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	for i := range f.log {
		if f.lost[f.log[i].Seq] {
			r.Lost(f.log[i].Seq, errors.New("bad sector"))
		} else if !yield(&f.log[i]) {
			return nil
		}
	}
	return nil
}

func dated(name, value string, at trackway.Micros) trackway.DatedProperty {
	return trackway.DatedProperty{Property: trackway.Property{Name: name, Value: []byte(value)}, Updated: at}
}

func newFake() *fakeSnapshot {
	return &fakeSnapshot{
		profiles: []trackway.Profile{
			{
				Customer: 1, Created: 500_000,
				IDs:        []trackway.Identifier{{Name: "registered", Value: "jane", Hard: true}, {Name: "cookie", Value: "c2"}, {Name: "cookie", Value: "c1"}},
				Properties: []trackway.DatedProperty{dated("age", "1.50", 2_000_000), dated("na,me", `"x\"y"`, 1_500_000), dated("plan", "null", 2_000_000)},
			},
			{Customer: 3, Created: 600_000, IDs: []trackway.Identifier{{Name: "cookie", Value: "[c3"}}},
		},
		merged: map[trackway.Customer]trackway.Customer{2: 1},
		log: []trackway.Event{
			{Seq: 1, Project: 7, Customer: 2, Type: "visit", Time: 1_250_000, Received: 3_000_000, Properties: []byte(`{"a":1}`)},
			{Seq: 2, Project: 8, Customer: 9, Type: "visit", Time: 1_250_000, Received: 3_000_000, Properties: []byte(`{"of":"others"}`)},
			{Seq: 3, Project: 7, Customer: 3, Type: "buy \"it\"", Time: 2_000_000, Received: 4_000_000},
			{Seq: 4, Project: 7, Customer: 2, Type: "visit", Time: 5_000_000, Received: 5_000_000, Properties: []byte(`{}`)},
		},
	}
}

func mustRun(t *testing.T, format string, f Filter) []byte {
	t.Helper()
	var b bytes.Buffer
	table, err := New(format, &b, shop, f)
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), newFake(), shop, f, table); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	const customers = `{"name":"customers","data":{"customer_ids":{"registered":"jane","cookie":["c2","c1"]},"properties":{"na,me":"x\"y"},"update_timestamp":1.5}}
{"name":"customers","data":{"customer_ids":{"registered":"jane","cookie":["c2","c1"]},"properties":{"age":1.50,"plan":null},"update_timestamp":2}}
{"name":"customers","data":{"customer_ids":{"cookie":["[c3"]}}}
`
	const first = `{"name":"customers/events","data":{"customer_ids":{"registered":"jane","cookie":["c2","c1"]},"event_type":"visit","timestamp":1.25,"properties":{"a":1}}}
`
	const second = `{"name":"customers/events","data":{"customer_ids":{"cookie":["[c3"]},"event_type":"buy \"it\"","timestamp":2,"properties":{}}}
`
	const third = `{"name":"customers/events","data":{"customer_ids":{"registered":"jane","cookie":["c2","c1"]},"event_type":"visit","timestamp":5,"properties":{}}}
`
	tests := map[string]struct {
		filter Filter
		want   string
	}{
		"all":       {Filter{Customers: true, Events: true}, customers + first + second + third},
		"customers": {Filter{Customers: true, Since: 9e6}, customers},
		"events":    {Filter{Events: true}, first + second + third},
		"of a type": {Filter{Events: true, Types: []string{"sale", "visit"}}, first + third},
		"of a time": {Filter{Events: true, Since: 2e6, Until: 5e6}, second},
		"of none":   {Filter{Events: true, Since: 9e6}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, string(mustRun(t, NDJSON, test.filter))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNDJSONOfManyProperties: an import accepts each line as a command, however
// many properties were updated at one time.
func TestNDJSONOfManyProperties(t *testing.T) {
	t.Parallel()
	value := `"` + strings.Repeat("x", trackway.MaxValueBytes-2) + `"`
	customer := trackway.Profile{Customer: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "jane", Hard: true}}}
	for i := range trackway.MaxProperties {
		customer.Properties = append(customer.Properties, dated(fmt.Sprintf("%0*d", trackway.MaxNameBytes, i), value, 2_000_000))
	}
	var out bytes.Buffer
	if err := (&lines{w: &out}).Customer(&customer); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range bytes.Lines(out.Bytes()) {
		c, err := tracking.DecodeLine(line, 7)
		if err != nil || c.Time != 2_000_000 || len(c.Properties) == 0 {
			t.Errorf("a line of %d bytes: got %d properties at %d, error %v", len(line), len(c.Properties), c.Time, err)
		}
		seen += len(c.Properties)
	}
	if seen != trackway.MaxProperties {
		t.Errorf("got %d properties, want %d", seen, trackway.MaxProperties)
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		filter Filter
		want   [][]string
	}{
		"customers": {Filter{Customers: true}, [][]string{
			{"customer", "customer_ids.registered", "customer_ids.cookie", "created", "update_timestamp", "properties"},
			{"1", "jane", `["c2","c1"]`, "0.5", "2", `{"age":1.50,"na,me":"x\"y","plan":null}`},
			{"3", "", `["[c3"]`, "0.6", "", `{}`},
		}},
		"events": {Filter{Events: true, Types: []string{"visit"}}, [][]string{
			{"customer", "customer_ids.registered", "customer_ids.cookie", "event_type", "timestamp", "received", "properties"},
			{"1", "jane", `["c2","c1"]`, "visit", "1.25", "3", `{"a":1}`},
			{"1", "jane", `["c2","c1"]`, "visit", "5", "5", `{}`},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := csv.NewReader(bytes.NewReader(mustRun(t, CSV, test.filter))).ReadAll()
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}

// parquetEvent is an event as a reader decodes it that makes its own columns.
type parquetEvent struct {
	Customer uint64 `parquet:"customer"`
	IDs      struct {
		Registered *string  `parquet:"registered,optional"`
		Cookie     []string `parquet:"cookie,list"`
	} `parquet:"customer_ids"`
	Type       string `parquet:"event_type"`
	Timestamp  int64  `parquet:"timestamp,timestamp(microsecond)"`
	Received   int64  `parquet:"received,timestamp(microsecond)"`
	Properties string `parquet:"properties,json"`
}

// No spreadsheet treats an identifier or a type as a formula, and an import
// restores them as they were.
func TestCSVHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	table, err := New(CSV, &b, shop, Filter{Events: true})
	if err != nil {
		t.Fatal(err)
	}
	of := &trackway.Profile{Customer: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "=1+1", Hard: true}, {Name: "cookie", Value: "+49"}}}
	if err := errors.Join(table.Event(of, &trackway.Event{Type: "@e", Time: 1e6, Received: 2e6, Properties: []byte(`{"a":"=1"}`)}), table.Close()); err != nil {
		t.Fatal(err)
	}
	const want = "customer,customer_ids.registered,customer_ids.cookie,event_type,timestamp,received,properties\n" +
		`1,'=1+1,+49,'@e,1,2,"{""a"":""=1""}"` + "\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
}

// If an import would read an identifier as several, or would change it, the
// export writes it as an array of one element.
func TestCSVOfOddIdentifiers(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`["jane"]`, "[1]", "[", "a\r\nb"} {
		var b bytes.Buffer
		table, err := New(CSV, &b, shop, Filter{Customers: true})
		if err != nil {
			t.Fatal(err)
		}
		of := &trackway.Profile{Customer: 1, IDs: []trackway.Identifier{{Name: "registered", Value: value, Hard: true}, {Name: "cookie", Value: value}}}
		if err := errors.Join(table.Customer(of), table.Close()); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range rows[1][1:3] {
			var got []string
			if err := json.Unmarshal([]byte(cell), &got); err != nil || len(got) != 1 || got[0] != value {
				t.Errorf("%q: got the cell %s", value, cell)
			}
		}
	}
}

func TestParquet(t *testing.T) {
	t.Parallel()
	file := mustRun(t, Parquet, Filter{Events: true})
	wantFooter(t, file)
	rows, err := parquet.Read[parquetEvent](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	jane := "jane"
	want := make([]parquetEvent, 3)
	for i := range want {
		want[i].Customer, want[i].IDs.Registered, want[i].IDs.Cookie = 1, &jane, []string{"c2", "c1"}
		want[i].Type, want[i].Properties = "visit", "{}"
	}
	want[0].Properties, want[0].Timestamp, want[0].Received = `{"a":1}`, 1_250_000, 3_000_000
	want[1].Customer, want[1].IDs.Registered, want[1].IDs.Cookie = 3, nil, []string{"[c3"}
	want[1].Type, want[1].Timestamp, want[1].Received = `buy "it"`, 2_000_000, 4_000_000
	want[2].Timestamp, want[2].Received = 5_000_000, 5_000_000
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}

	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	const schema = `message event {
	required int64 customer (INT(64,false));
	required group customer_ids {
		required group cookie (LIST) {
			repeated group list {
				required binary element (STRING);
			}
		}
		optional binary registered (STRING);
	}
	required binary event_type (STRING);
	required binary properties (JSON);
	required int64 received (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int64 timestamp (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
}`
	if diff := cmp.Diff(schema, f.Schema().String()); diff != "" {
		t.Error(diff)
	}
}

func TestParquetOfCustomers(t *testing.T) {
	t.Parallel()
	type row struct {
		Customer   uint64 `parquet:"customer"`
		Created    int64  `parquet:"created,timestamp(microsecond)"`
		Updated    *int64 `parquet:"updated,optional,timestamp(microsecond)"`
		Properties string `parquet:"properties,json"`
	}
	file := mustRun(t, Parquet, Filter{Customers: true})
	rows, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	updated := int64(2_000_000)
	want := []row{{1, 500_000, &updated, `{"age":1.50,"na,me":"x\"y","plan":null}`}, {3, 600_000, nil, "{}"}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

// wantFooter checks what the format requires of every file: the magic number at
// both ends, and the length of the footer before the second one.
func wantFooter(t *testing.T, file []byte) {
	t.Helper()
	const magic = "PAR1"
	if !bytes.HasPrefix(file, []byte(magic)) || !bytes.HasSuffix(file, []byte(magic)) {
		t.Fatalf("the file does not begin and end with %s", magic)
	}
	end := len(file) - len(magic) - 4
	if n := binary.LittleEndian.Uint32(file[end:]); n == 0 || int(n) > end-len(magic) {
		t.Errorf("the footer has %d bytes, the file %d", n, len(file))
	}
}

// A row group ends once it has filled its memory, and the file can still be
// read as one.
func TestParquetInGroups(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	table, err := New(Parquet, &b, shop, Filter{Events: true})
	if err != nil {
		t.Fatal(err)
	}
	table.(*columns).most = 1 << 20
	fake := newFake()
	big := []byte(`{"x":"` + strings.Repeat("x", 1<<17) + `"}`)
	const events = 17
	for n := range events {
		e := trackway.Event{Type: strconv.Itoa(n), Properties: big}
		if err := table.Event(&fake.profiles[1], &e); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != events || len(f.RowGroups()) != 3 {
		t.Errorf("got %d rows in %d groups, want %d in 3", f.NumRows(), len(f.RowGroups()), events)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		format string
		filter Filter
		field  string
	}{
		"nothing":         {NDJSON, Filter{}, "customers"},
		"unknown format":  {"xml", Filter{Events: true}, "format"},
		"both in CSV":     {CSV, Filter{Customers: true, Events: true}, "format"},
		"both in Parquet": {Parquet, Filter{Customers: true, Events: true}, "format"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(test.format, io.Discard, shop, test.filter)
			if refused, ok := errors.AsType[*trackway.Error](err); !ok || refused.Field != test.field {
				t.Errorf("got %v, want an error about %s", err, test.field)
			}
		})
	}
}

// full is a disk that has room for a fixed number of writes.
type full struct{ room int }

var errFull = errors.New("no space left on device")

func (f *full) Write(b []byte) (int, error) {
	if f.room--; f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestErrorsEndTheExport(t *testing.T) {
	t.Parallel()
	all := Filter{Customers: true, Events: true}
	for room := range 6 {
		table, err := New(NDJSON, &full{room}, shop, all)
		if err != nil {
			t.Fatal(err)
		}
		if err := Run(t.Context(), newFake(), shop, all, table); !errors.Is(err, errFull) {
			t.Errorf("with room for %d lines: got %v, want %v", room, err, errFull)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, newFake(), shop, all, &lines{w: io.Discard}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	lost := newFake()
	lost.profiles = lost.profiles[:1]
	if err := Run(t.Context(), lost, shop, Filter{Events: true}, &lines{w: io.Discard}); err == nil {
		t.Error("got no error where an event's customer is lost")
	}
}

// TestOwnersAreRemembered: the owner of events is looked up once, and the
// memory for owners is bounded.
func TestOwnersAreRemembered(t *testing.T) {
	t.Parallel()
	fake := newFake()
	o := owners{from: fake, project: 7, known: map[trackway.Customer]*trackway.Profile{}}
	for range 3 {
		if p, err := o.of(2); err != nil || p.Customer != 1 || p.Properties != nil {
			t.Fatalf("got %v, %v, want customer 1 without properties", p, err)
		}
	}
	if fake.asked != 1 {
		t.Errorf("asked %d times, want once", fake.asked)
	}
	const everybody = 1 << 40
	fake.all, fake.profiles[0].Customer = everybody, everybody
	for n := range trackway.Customer(3 * maxOwners) {
		if _, err := o.of(100 + n); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(o.known) + len(o.older); n > 2*maxOwners {
		t.Errorf("%d customers are remembered, want at most %d", n, 2*maxOwners)
	}
}
