package segment

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

var shop = &trackway.Project{Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie"}

// received is when all bodies of these tests arrive.
const received = trackway.Micros(1_795_935_720_000_000) // 2026-11-29T07:02:00Z

// seen formats a command in one line: what it does, whose it is, its
// properties, and its time if that is not the time of receipt.
func seen(c *trackway.Command, err *trackway.Error) string {
	words := []string{map[trackway.Kind]string{trackway.Nothing: "nothing", trackway.UpdateCustomer: "update", trackway.AddEvent: "event"}[c.Kind]}
	if c.Type != "" {
		words = append(words, fmt.Sprintf("%q", c.Type))
	}
	for _, id := range c.IDs {
		words = append(words, id.Name+"="+id.Value)
	}
	if err != nil {
		return strings.Join(append(words, "refused:", err.Field, Text(err)), " ")
	}
	words = append(words, string(canonjson.AppendObject(nil, c.Properties)))
	if c.Unheld != nil {
		words = append(words, "unless "+c.Unheld.Name+"="+c.Unheld.Value)
	}
	if c.TimeGiven {
		words = append(words, c.Time.Time().Format(time.RFC3339Nano))
	}
	if c.TimeVaries {
		words = append(words, "varies")
		if c.TimeGiven {
			words = append(words, "claimed "+c.Claimed.Time().Format(time.RFC3339Nano))
		}
	}
	return strings.Join(words, " ")
}

func allSeen(b *format.Batch) (all []string) {
	for i := range b.Commands {
		all = append(all, seen(&b.Commands[i], b.Results[i].Err))
	}
	return all
}

func decode(t *testing.T, f *format.Format, body string) *format.Batch {
	t.Helper()
	b, err := f.Decode(shop, []byte(body), received)
	if err != nil {
		t.Fatalf("%s: %s", body, Text(err))
	}
	return b
}

// TestMessages gives a message its type by its path, and by a field in a batch.
// Both have the same result.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typ, fields, want string }{
		{Track, `"event":"buy","userId":"u","properties":{"b":2,"a":1}`, `event "buy" registered=u {"a":1,"b":2}`},
		{Track, `"event":"buy","userId":7e1,"anonymousId":" a ","properties":null`, `event "buy" cookie=a registered=70 {}`},
		{Track, `"event":"buy","userId":null,"anonymousId":""`, `event "buy" cookie= {}`},
		{Track, `"event":"buy","context":{"b": 1,"a":[ ]},"messageId":"m","properties":{"c":0,"z":0}`, `event "buy" {"c":0,"context":{"a":[],"b":1},"message_id":"m","z":0} varies`},
		{Track, `"event":"buy","context":{"traits":{"email":"a@b.c"},"b":{"traits":1}}`, `event "buy" {"context":{"b":{"traits":1}}}`},
		{Track, `"event":"buy","properties":{"message_id":"mine","context":0},"messageId":"m","context":{}`, `event "buy" {"context":{},"message_id":"m"} varies`},
		{Track, `"event":"buy","properties":{"a":null}`, `event "buy" {"a":null}`},
		{Track, `"userId":"u"`, `nothing registered=u refused: event Field 'event' is required.`},
		{Track, `"event":""`, `nothing refused: event Field 'event' is required.`},
		{Track, `"event":1,"userId":"u"`, `nothing registered=u refused: event Field 'event': expected a string, got a number.`},
		{Track, `"event":"buy","userId":{}`, `nothing "buy" refused: userId Field 'userId': expected a string or a number, got an object.`},
		{Track, `"event":"buy","userId":"\ud800"`, `nothing "buy" refused: userId Field 'userId': expected text, got half a surrogate pair (\ud800 to \udfff).`},
		{Track, `"event":"buy","properties":[]`, `nothing "buy" refused: properties Field 'properties': expected an object, got an array.`},
		{Track, `"event":"buy","context":1`, `nothing "buy" refused: context Field 'context': expected an object, got a number.`},
		{Track, `"event":"buy","messageId":1`, `nothing "buy" refused: messageId Field 'messageId': expected a string, got a number.`},
		{Track, `"event":"buy","messageId":"` + strings.Repeat("x", maxMessageID) + `"`, `nothing "buy" refused: messageId Field 'messageId': expected at most 1024 bytes of JSON, got 1026.`},
		{Track, `"event":"buy","timestamp":"soon"`, `nothing "buy" refused: timestamp Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z.`},
		{Track, `"event":"buy","timestamp":1795935720`, `nothing "buy" refused: timestamp Field 'timestamp': expected a date and time such as 2018-08-05T12:20:25.5Z, got a number.`},
		{Identify, `"userId":"u","anonymousId":"a","traits":{"b":null,"a":1}`, `update cookie=a registered=u {"a":1}`},
		{Identify, `"userId":"u","context":{"x":1,"traits":{"plan":"pro"}}`, `update registered=u {"plan":"pro"}`},
		{Identify, `"userId":"u","traits":{"plan":"free"},"context":{"traits":{"plan":"pro"}}`, `update registered=u {"plan":"free"}`},
		{Identify, `"userId":"u","context":{"traits":1}`, `nothing registered=u refused: context.traits Field 'context.traits': expected an object, got a number.`},
		{Identify, `"userId":"u","messageId":"m","timestamp":"2026-11-29T07:02:00Z"`, `update registered=u {} 2026-11-29T07:02:00Z`},
		{Page, `"anonymousId":"a","name":"Home","category":"Docs","properties":{"url":"/","name":"old"}`, `event "page_visit" cookie=a {"category":"Docs","name":"Home","url":"/"}`},
		{Page, `"anonymousId":"a","name":null`, `event "page_visit" cookie=a {}`},
		{Screen, `"anonymousId":"a","name":"Home"`, `event "screen_view" cookie=a {"name":"Home"}`},
		{Group, `"userId":"u","groupId":"g","traits":{"plan":"pro"},"properties":{"no":1}`, `event "group" registered=u {"group_id":"g","plan":"pro"}`},
		{Alias, `"userId":"u","previousId":"a"`, `update cookie=a registered=u {} unless registered=a`},
		{Alias, `"userId":"u","previousId":" u "`, `update cookie=u registered=u {}`},
	} {
		if got := strings.Join(allSeen(decode(t, Single(test.typ), "{"+test.fields+"}")), "; "); got != test.want {
			t.Errorf("%s alone, %s:\n got %s\nwant %s", test.typ, test.fields, got, test.want)
		}
		body := `{"batch":[{"type":"` + test.typ + `",` + test.fields + `},{"type":"track","event":"next"}]}`
		if got := strings.Join(allSeen(decode(t, Batch, body)), "; "); got != test.want+`; event "next" {}` {
			t.Errorf("%s in a batch, %s:\n got %s\nwant %s", test.typ, test.fields, got, test.want)
		}
	}
}

// TestFewIdentifiers: a project may have no identifier for users, or none for
// devices. A message then says less, but is not refused for it.
func TestFewIdentifiers(t *testing.T) {
	t.Parallel()
	const both, alias = `{"event":"e","userId":"u","anonymousId":"a"}`, `{"userId":"u","previousId":"b"}`
	users := &trackway.Project{Hard: []string{"registered"}, User: "registered"}
	devices := &trackway.Project{Soft: []string{"cookie"}, Device: "cookie"}
	for _, test := range []struct {
		project         *trackway.Project
		typ, body, want string
	}{
		{users, Track, both, `event "e" registered=u {}`},
		{users, Track, `{"event":"e","anonymousId":"a"}`, `event "e" {}`}, // which names nobody
		{users, Alias, alias, `update registered=u {}`},
		{devices, Track, both, `event "e" cookie=a cookie=u {}`},
		{devices, Alias, alias, `update cookie=b cookie=u {}`},
	} {
		b, err := Single(test.typ).Decode(test.project, []byte(test.body), received)
		if err != nil {
			t.Fatal(err)
		}
		if got := allSeen(b)[0]; got != test.want {
			t.Errorf("%s: got %s, want %s", test.body, got, test.want)
		}
	}
}

// TestElements checks what only occurs in elements of a batch.
func TestElements(t *testing.T) {
	t.Parallel()
	body := `{"batch":[{"userId":"u"},{"type":1,"event":"e"},{"type":"buy","userId":"u"},{"type":"track","event":"e"}],"other":[{}]}`
	want := []string{
		`nothing registered=u refused: type Field 'type' is required.`,
		`nothing refused: type Field 'type': expected a string, got a number.`,
		`nothing registered=u refused: type Field 'type': expected one of track, identify, page, screen, group and alias, got 'buy'.`,
		`event "e" {}`,
	}
	got := allSeen(decode(t, Batch, body))
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if again := allSeen(decode(t, Batch, `{"batch":[{}],`+body[1:])); strings.Join(again, "\n") != strings.Join(want, "\n") {
		t.Errorf("with another batch before it: got %s", again)
	}
}

// TestBadBodies checks the bodies that are refused as a whole.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	const notJSON = "Invalid JSON: expected an object."
	many := `{"batch":[` + strings.Repeat(`{},`, MaxMessages) + `{}]}`
	for body, want := range map[string]string{
		``: notJSON, `[]`: notJSON, `{`: notJSON, `{"batch":[{"type":]}`: notJSON, `{} {}`: notJSON, "\xff": notJSON,
		`{}`:                       "Field 'batch' is required.",
		`{"batch":null}`:           "Field 'batch' is required.",
		`{"batch":[{},7]}`:         "Field 'batch': expected an object as each element.",
		`{"batch":{}}`:             "Field 'batch': expected an array, got an object.",
		`{"batch":[],"context":1}`: "Field 'context': expected an object, got a number.",
		many:                       "Field 'batch': at most 2500 messages.",
		`{"batch":[{},{},{},{}],"context":{"a":"` + strings.Repeat("x", 20<<10) + `"}}`: "Field 'context': expected a context of fewer bytes, which belongs to all 4 messages.",
	} {
		if _, err := Batch.Decode(shop, []byte(body), received); err == nil || Text(err) != want {
			t.Errorf("%.60q: got %v, want %s", body, err, want)
		}
	}
	for _, body := range []string{"", "[]", `{"event":`, `{"event":"e"}x`} {
		if _, err := Single(Track).Decode(shop, []byte(body), received); err == nil || Text(err) != notJSON {
			t.Errorf("%q alone: got %v", body, err)
		}
	}
	if b := decode(t, Batch, `{"batch":[]}`); len(b.Commands) > 0 {
		t.Errorf("an empty batch has %d commands", len(b.Commands))
	}
}

// TestSharedContext checks that the context of a batch is below those of its
// events, wherever it stands.
func TestSharedContext(t *testing.T) {
	t.Parallel()
	messages := `"batch":[{"type":"track","event":"e","context":{"b":1,"a":2}},{"type":"track","event":"e"},{"type":"identify","userId":"u"}]`
	context := `"context":{ "b":7, "c":8, "traits":{"email":"a@b.c"}}`
	want := `event "e" {"context":{"a":2,"b":1,"c":8}}; event "e" {"context":{"b":7,"c":8}}; update registered=u {}`
	for _, body := range []string{"{" + messages + "," + context + "}", "{" + context + "," + messages + "}"} {
		if got := strings.Join(allSeen(decode(t, Batch, body)), "; "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
}

// TestTimes checks when a message happened. The tests' bodies arrive at
// 07:02:00.
func TestTimes(t *testing.T) {
	t.Parallel()
	const at, id = `"timestamp":"2026-11-29T07:01:00Z"`, `"messageId":"m"`
	const unchanged = `2026-11-29T07:01:00Z varies claimed 2026-11-29T07:01:00Z`
	sent := func(clock string) string { return `"sentAt":"2026-11-29T` + clock + `Z"` }
	for _, test := range []struct {
		format         *format.Format
		message, batch string
		want           string
	}{
		{Batch, at + "," + id, sent("07:01:58"), `2026-11-29T07:01:00Z`},
		{Batch, at + "," + id, sent("07:01:00"), `2026-11-29T07:01:00Z`},
		{Batch, at + "," + id, sent("07:00:59"), unchanged}, // see TestLaterTry
		{Batch, at + "," + id, sent("06:57:00"), unchanged}, // not more than five minutes
		{Batch, at + "," + id, sent("06:56:59"), `2026-11-29T07:06:01Z varies claimed 2026-11-29T07:01:00Z`},
		{Batch, at + "," + id, sent("08:02:00"), `2026-11-29T06:01:00Z varies claimed 2026-11-29T07:01:00Z`},
		{Batch, at + "," + id + "," + sent("07:01:58"), sent("06:00:00"), `2026-11-29T07:01:00Z`}, // the message's own
		{Batch, at + "," + id, `"sentAt":"yesterday"`, `2026-11-29T07:01:00Z`},
		{Batch, at + "," + id, `"sentAt":"1970-01-01T00:00:00Z","x":0`, unchanged}, // not into the future
		// Without an id, a repetition could not be recognized.
		{Batch, at, sent("06:00:00"), `2026-11-29T07:01:00Z`},
		{Import, at + "," + id, sent("06:00:00"), `2026-11-29T07:01:00Z`},
		{Import, `"timestamp":"2015-01-01T00:00:00Z",` + id, sent("07:01:58"), `2015-01-01T00:00:00Z varies claimed 2015-01-01T00:00:00Z`},
		{Batch, `"originalTimestamp":"2026-11-29T07:01:30Z",` + id, sent("07:01:58"), `2026-11-29T07:01:30Z`},
		{Batch, `"originalTimestamp":"2026-11-29T07:01:30Z",` + at + "," + id, sent("07:01:58"), `2026-11-29T07:01:00Z`},
		{Batch, `"timestamp":null,"originalTimestamp":null`, sent("06:00:00"), ``},
		{Batch, id, sent("07:01:58"), `varies`},
	} {
		body := `{"batch":[{"type":"track","event":"e",` + test.message + `}],` + test.batch + `}`
		b := decode(t, test.format, body)
		got, _ := strings.CutPrefix(seen(&b.Commands[0], b.Results[0].Err), `event "e" {}`)
		got, _ = strings.CutPrefix(got, `event "e" {"message_id":"m"}`)
		if got = strings.TrimSpace(got); got != test.want || b.Commands[0].Received != received {
			t.Errorf("%s: got %s, want %s", body, got, test.want)
		}
	}
	body := `{"type":"identify","userId":"u","timestamp":"2026-11-29T06:00:00Z","sentAt":"2026-11-29T06:00:30Z"}`
	if got := allSeen(decode(t, Single(Identify), body))[0]; got != `update registered=u {} 2026-11-29T07:01:30Z` {
		t.Errorf("an update: got %s", got)
	}
}

// TestLaterTry: the clock of a client is six minutes ahead, and it sends the
// same bytes once more two minutes later. The first try is corrected. The
// second one is not, but the store has to look for the first.
func TestLaterTry(t *testing.T) {
	t.Parallel()
	const body = `{"batch":[{"type":"track","event":"e","messageId":"m","timestamp":"2026-11-29T07:08:00Z"}],"sentAt":"2026-11-29T07:08:00Z"}`
	const minute = trackway.Micros(60 * 1e6)
	for after, want := range map[trackway.Micros]trackway.Micros{0: received, 2 * minute: received + 6*minute} {
		b, err := Batch.Decode(shop, []byte(body), received+after)
		if err != nil {
			t.Fatal(err)
		}
		if c := b.Commands[0]; c.Time != want || !c.TimeVaries || c.Claimed != received+6*minute {
			t.Errorf("after %d: got %s", after, seen(&c, nil))
		}
	}
}

// TestBytes: the bytes of an event are at least those that are stored.
func TestBytes(t *testing.T) {
	t.Parallel()
	b := decode(t, Batch, `{"batch":[
		{"type":"page","name":"n","category":"c","messageId":"m","context":{"a":1},"properties":{"x":"y"}},
		{"type":"group","groupId":"g","traits":{"x":"y"}},{"type":"track","event":"e"}],"context":{"b":2}}`)
	for _, c := range b.Commands {
		if stored := len(c.Type) + len(canonjson.AppendObject(nil, c.Properties)); c.Bytes < stored || c.Bytes > stored+64 {
			t.Errorf("%s: %d bytes, %d are stored", seen(&c, nil), c.Bytes, stored)
		}
	}
}

// TestWriteKey checks that the key is found wherever it stands, and only in the
// outermost object.
func TestWriteKey(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"writeKey":"k","batch":[]}`:                  "k",
		`{"batch":[{"writeKey":"no"}],"writeKey":"k"}`: "k",
		`{"batch":[{"writeKey":"no"}]}`:                "",
		`{"writeKey":"a","writeKey":"b"}`:              "b",
		`{"writeKey":"a","writeKey":null}`:             "",
		`{"writeKey":7}`:                               "",
		`{"writeKey":"k"`:                              "",
		`["writeKey"]`:                                 "",
		``:                                             "",
	} {
		if got := WriteKey([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// TestAnswers checks the answers to batches, by mode.
func TestAnswers(t *testing.T) {
	t.Parallel()
	b := decode(t, Batch, `{"batch":[{"type":"track","event":"e"},{"type":"track","messageId":"m\u00e9"},{}]}`)
	if status, answer, err := Batch.Results(b, received); status != 200 || string(answer) != `{"success":true}` || err != nil {
		t.Errorf("got %d %s %v", status, answer, err)
	}
	status, answer, err := StrictBatch.Results(b, received)
	const want = `{"success":false,"errors":[{"index":1,"messageId":"m\u00e9","error":"Field 'event' is required."},` +
		`{"index":2,"error":"Field 'type' is required."}]}`
	if status != 400 || string(answer) != want || err != nil {
		t.Errorf("got %d %s %v", status, answer, err)
	}
	if status, answer, err := StrictBatch.Results(decode(t, Batch, `{"batch":[{"type":"track","event":"e"}]}`), received); status != 200 || string(answer) != `{"success":true}` || err != nil {
		t.Errorf("all good: got %d %s %v", status, answer, err)
	}
	for sent, want := range map[int]int{413: 400, 415: 400, 401: 401, 503: 503} {
		if status, answer := refusal(sent, &trackway.Error{Msg: "No."}); status != want || string(answer) != `{"success":false,"error":"No."}` {
			t.Errorf("%d: got %d %s", sent, status, answer)
		}
	}
	nobody := &trackway.Error{Code: trackway.Invalid, Field: "customer_ids", Reason: trackway.Nobody}
	long := &trackway.Error{Code: trackway.Invalid, Field: "customer_ids.cookie", Reason: trackway.LongText, Limit: 256, Got: 300}
	if got := Text(nobody) + Text(long); got != "A message needs a userId or an anonymousId.Field 'userId, anonymousId (cookie)': expected at most 256 bytes, got 300." {
		t.Errorf("got %s", got)
	}
}
