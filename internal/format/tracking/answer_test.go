package tracking

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
)

var update = flag.Bool("update", false, "write the golden files")

func TestAnswers(t *testing.T) {
	t.Parallel()
	const start, end = trackway.Micros(1_533_663_283_894_375), trackway.Micros(1_533_663_284_000_000)
	bad := sentence("customer_ids.\"x\"", "Field '\"x\"': at\nmost \xff 5 < 6 é.")
	soft := func(name, value string) trackway.Identifier { return trackway.Identifier{Name: name, Value: value} }
	hard := func(name, value string) trackway.Identifier {
		return trackway.Identifier{Name: name, Value: value, Hard: true}
	}
	ids := []trackway.Identifier{
		hard("registered", "j\\"), hard("crm", "7"), soft("cookie", "c2"), soft("device", "d"), soft("cookie", "c1"),
	}
	batch := batchOf(item{}, item{CommandID: []byte(`"a\u0062c"`)}, item{Time: true}, item{Err: bad}, item{Err: bad, Time: true, CommandID: []byte(`1.50`)})
	batch.Received = start
	refused := func(err *trackway.Error) []byte {
		_, b := Own.Refusal(0, err)
		return b
	}
	answers := []struct {
		title string
		json  []byte
	}{
		{"success", success},
		{"failure", appendRefusal(nil, bad)},
		{"time", AppendTime(nil, start)},
		{"whole second", AppendTime(nil, end)},
		{"batch", appendBatch(nil, batch, end)},
		{"message", appendRefusal(nil, errJSON)},
		{"refusal", refused(&trackway.Error{Code: trackway.Unidentified, Field: "Authorization", Msg: "Access key not found"})},
		{"status", AppendStatus(nil, 404, `There is no "page" here.`)},
		{"error of a field", AppendFieldError(nil, bad)},
		{"error of none", AppendFieldError(nil, &trackway.Error{Code: trackway.NotFound, Msg: "Customer does not exist"})},
		{"event", AppendEvent(nil, &trackway.Event{Type: "a \"b\"", Time: start, Properties: []byte(`{"foo":"bar"}`)})},
		{"event without properties", AppendEvent(nil, &trackway.Event{Type: "x", Time: 0})},
		{"ids", canonjson.AppendIDs(nil, ids)},
		{"no ids", canonjson.AppendIDs(nil, nil)},
		{"hard id", canonjson.AppendID(nil, ids, "crm")},
		{"soft id", canonjson.AppendID(nil, ids, "cookie")},
		{"unknown id", canonjson.AppendID(nil, ids, "none")},
		{"properties", canonjson.AppendObject(nil, []trackway.Property{{Name: "a\t\x7f", Value: []byte(`[1]`)}, {Name: "é", Value: []byte(`null`)}})},
		{"no properties", canonjson.AppendObject(nil, nil)},
		{"string", canonjson.AppendString(nil, "\x00\x01\b\f\n\r\t\x1f \"\\/<>&\x7f\u2028é😀\xffz\xe2\x82")},
	}
	var all strings.Builder
	for _, a := range answers {
		if v := jsontext.Value(a.json); !v.IsValid() {
			t.Errorf("%s is not JSON: %s", a.title, a.json)
		}
		all.WriteString(a.title + "\n\t" + string(a.json) + "\n")
	}
	const golden = "testdata/answers.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), all.String()); diff != "" {
		t.Errorf("-want +got (go test -update writes %s)\n%s", golden, diff)
	}
}

// testing.AllocsPerRun forbids parallel tests.
func TestAllocations(t *testing.T) {
	event := []byte(benchEvent)
	if n := testing.AllocsPerRun(100, func() { _, _ = DecodeCommand(Events, event, received) }); n > 2 {
		t.Errorf("an event costs %v allocations, want one for its ids and one for its properties", n)
	}
	b := batchOf(item{CommandID: []byte("1")}, item{Time: true})
	dst := append(make([]byte, 0, 256), 'x')
	if n := testing.AllocsPerRun(100, func() { dst = appendBatch(dst[:1], b, received) }); n > 0 {
		t.Errorf("an answer costs %v allocations", n)
	}
	if got, want := string(dst), "x"+string(appendBatch(nil, b, received)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAppendErased(t *testing.T) {
	t.Parallel()
	if got := string(AppendErased(nil, 7)); got != `{"success":true,"erasure":{"id":"7","state":"scheduled"}}` {
		t.Error(got)
	}
}
