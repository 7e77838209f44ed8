package posthog

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

const received = trackway.Micros(1_700_000_000_000_000)

var shop = &trackway.Project{Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie"}

// shown returns a batch as people read it.
func shown(b *format.Batch) string {
	var s strings.Builder
	for i := range b.Commands {
		c := &b.Commands[i]
		fmt.Fprintf(&s, "%s: ", b.Labels[i].Name)
		for _, id := range c.IDs {
			fmt.Fprintf(&s, "%s=%s ", id.Name, id.Value)
		}
		switch {
		case b.Results[i].Err != nil:
			fmt.Fprintf(&s, "'%s' refused: %s\n", c.Type, Text(b.Results[i].Err))
			continue
		case c.Kind == trackway.UpdateCustomer:
			s.WriteString("update ")
		default:
			fmt.Fprintf(&s, "'%s' ", c.Type)
		}
		fmt.Fprintf(&s, "%s ", c.Time.AppendSeconds(nil))
		if c.TimeGiven {
			s.WriteString("given ")
		}
		if c.Unheld != nil {
			fmt.Fprintf(&s, "unless %s=%s ", c.Unheld.Name, c.Unheld.Value)
		}
		fmt.Fprintf(&s, "%s\n", canonjson.AppendObject(nil, c.Properties))
	}
	return s.String()
}

// TestMessages decodes single messages.
func TestMessages(t *testing.T) {
	t.Parallel()
	const at = `"timestamp":"2018-08-05T12:20:25.5+02:00"`
	const once = "786605974.499999" // s, the time of what is only set if it is new
	for name, test := range map[string]struct{ message, want string }{
		"an event": {
			`{"event":"Order Completed","distinct_id":"u1","properties":{"total":7.99,"a":null,"token":"t","$lib":"web"},` + at + `}`,
			`capture: registered=u1 'Order Completed' 1533464425.5 given {"$lib":"web","a":null,"total":7.99}`,
		},
		"the id among the properties": {
			`{"event":"e","properties":{"distinct_id":5.0}}`, `capture: registered=5 'e' 1700000000 {}`,
		},
		"an offset": {`{"event":"e","distinct_id":"u1","offset":1500}`, `capture: registered=u1 'e' 1699999998.5 {}`},
		"ids are not stored twice": {
			`{"event":"e","distinct_id":"u1","properties":{"$user_id":"u1","$device_id":"d","$anon_distinct_id":"d","b":1}}`,
			`capture: registered=u1 'e' 1700000000 {"b":1}`,
		},
		"a device": {
			`{"event":"e","distinct_id":"d","properties":{"$device_id":"d"}}`, `capture: cookie=d 'e' 1700000000 {}`,
		},
		"not identified": {
			`{"event":"e","distinct_id":"d","properties":{"$is_identified":false}}`, `capture: cookie=d 'e' 1700000000 {"$is_identified":false}`,
		},
		"no profile": {
			`{"event":"e","distinct_id":"d","properties":{"$process_person_profile":false}}`,
			`capture: cookie=d 'e' 1700000000 {"$process_person_profile":false}`,
		},
		"identify": {
			`{"event":"$identify","distinct_id":"u1","$set":{"b":1,"a":"x","n":null},"$set_once":{"c":2},"properties":{"$anon_distinct_id":"d","$device_id":"d"},` + at + `}`,
			"$identify: registered=u1 cookie=d update 1533464425.5 given {\"a\":\"x\",\"b\":1}\n" +
				"$identify: registered=u1 cookie=d update " + once + " given {\"c\":2}",
		},
		"identify by the SDK for Node": {
			`{"event":"$identify","distinct_id":"u1","properties":{"$set":{"email":"a@b.c"},"$lib":"posthog-node"}}`,
			`$identify: registered=u1 update 1700000000 {"email":"a@b.c"}`,
		},
		"identify without properties": {
			`{"event":"$identify","distinct_id":"u1","properties":{"$anon_distinct_id":"d"}}`, `$identify: registered=u1 cookie=d update 1700000000 {}`,
		},
		"set": {`{"event":"$set","distinct_id":"u1","$set":{"a":1},"properties":{"$lib":"x"}}`, `$set: registered=u1 update 1700000000 {"a":1}`},
		"the outer set replaces the inner one": {
			`{"event":"$set","distinct_id":"u1","$set":{"a":1,"c":3},"properties":{"$set":{"b":2,"a":0}}}`,
			"$set: registered=u1 update 1700000000 {\"a\":0,\"b\":2}\n$set: registered=u1 update 1700000000 {\"a\":1,\"c\":3}",
		},
		"an event that updates": {
			`{"event":"e","distinct_id":"u1","properties":{"x":1,"$set":{"a":1},"$set_once":{"b":2},"$unset":["d","c","d"]},` + at + `}`,
			"capture: registered=u1 'e' 1533464425.5 given {\"x\":1}\n" +
				"capture: registered=u1 update 1533464425.5 given {\"c\":null,\"d\":null}\n" +
				"capture: registered=u1 update 1533464425.5 given {\"a\":1}\n" +
				"capture: registered=u1 update " + once + " given {\"b\":2}",
		},
		"alias": {
			`{"event":"$create_alias","distinct_id":"u1","properties":{"distinct_id":"u1","alias":"d","$lib":"posthog-node"}}`,
			`$create_alias: registered=u1 cookie=d update 1700000000 unless registered=d {}`,
		},
		"alias by the SDK for Go, which has no other id": {
			`{"type":"alias","event":"$create_alias","properties":{"distinct_id":"u1","alias":"d","$lib":"posthog-go"}}`,
			`$create_alias: registered=u1 cookie=d update 1700000000 unless registered=d {}`,
		},
		"alias by the SDK for Python": {
			`{"event":"$create_alias","distinct_id":"d","properties":{"distinct_id":"d","alias":"u1","$lib":"posthog-python"}}`,
			`$create_alias: registered=u1 cookie=d update 1700000000 unless registered=d {}`,
		},
		"alias on a page before anybody signs in": {
			`{"event":"$create_alias","distinct_id":"d","properties":{"alias":"u1","$is_identified":false}}`,
			`$create_alias: registered=u1 cookie=d update 1700000000 unless registered=d {}`,
		},
		"alias of itself":   {`{"event":"$create_alias","distinct_id":"u1","properties":{"alias":"u1"}}`, `$create_alias: registered=u1 update 1700000000 {}`},
		"alias of nobody":   {`{"event":"$create_alias","distinct_id":"u1"}`, `$create_alias: registered=u1 '$create_alias' refused: Field 'properties.alias' is required.`},
		"merge dangerously": {`{"event":"$merge_dangerously","distinct_id":"u1","properties":{"alias":"u2"}}`, `$merge_dangerously: registered=u1 '$merge_dangerously' refused: Field 'event': expected $create_alias to connect two ids: a merge of two users cannot be undone, and is refused.`},
		"a group": {
			`{"event":"$groupidentify","distinct_id":"u1","properties":{"$group_key":"acme","$group_type":"company","$group_set":{"seats":3}}}`,
			`$groupidentify: registered=u1 '$groupidentify' 1700000000 {"$group_key":"acme","$group_set":{"seats":3},"$group_type":"company"}`,
		},
		"a group of nobody": {
			`{"event":"$groupidentify","distinct_id":"$company_acme","properties":{"$group_key":"acme","$group_type":"company"}}`,
			`$groupidentify: cookie=$company_acme '$groupidentify' 1700000000 {"$group_key":"acme","$group_type":"company"}`,
		},
		"no name":                {`{"distinct_id":"u1"}`, `capture: '' refused: Field 'event' is required.`},
		"an empty name":          {`{"event":"","distinct_id":"u1"}`, `capture: '' refused: Field 'event' is empty.`},
		"a name of a wrong type": {`{"event":{},"distinct_id":"u1"}`, `capture: '' refused: Field 'event': expected a string, got an object.`},
		"no id":                  {`{"event":"e"}`, `capture: registered= 'e' 1700000000 {}`}, // refused later
		"an id of a wrong type":  {`{"event":"e","distinct_id":["u"]}`, `capture: 'e' refused: Field 'distinct_id': expected a string or a number, got an array.`},
		"half an id":             {`{"event":"e","distinct_id":"\ud800"}`, `capture: 'e' refused: Field 'distinct_id': expected text, got half a surrogate pair (\ud800 to \udfff).`},
		"half an alias":          {`{"event":"$create_alias","distinct_id":"u","properties":{"alias":"\ud800"}}`, `$create_alias: '$create_alias' refused: Field 'alias': expected text, got half a surrogate pair.`},
		"a bad time":             {`{"event":"e","distinct_id":"u1","timestamp":"today"}`, `capture: registered=u1 'e' refused: Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z.`},
		"bad properties":         {`{"event":"e","distinct_id":"u1","properties":[]}`, `capture: 'e' refused: Field 'properties': expected an object, got an array.`},
		"a bad set":              {`{"event":"e","distinct_id":"u1","properties":{"$set":1}}`, `capture: registered=u1 'e' refused: Field 'properties.$set': expected an object, got a number.`},
		"a bad unset":            {`{"event":"e","distinct_id":"u1","properties":{"$unset":[1]}}`, `capture: registered=u1 'e' refused: Field 'properties.$unset': expected names in the array, got a number.`},
		"a message's id":         {`{"event":"e","distinct_id":"u1","uuid":7}`, `capture: 'e' refused: Field 'uuid': expected a string, got a number.`},
		"a message's own id":     {`{"event":"e","distinct_id":"u1","uuid":"\u0061","properties":{"a":1,"z":2}}`, `capture: registered=u1 'e' 1700000000 {"a":1,"message_id":"a","z":2}`},
		"a message's empty id":   {`{"event":"e","distinct_id":"u1","uuid":""}`, `capture: registered=u1 'e' 1700000000 {}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, body := range []string{test.message, `[` + test.message + `]`, ` {"batch":[` + test.message + `],"api_key":"k","sent_at":"2018-08-05T12:20:26Z"}`} {
				b, err := Decode(shop, []byte(body), received)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, strings.TrimSpace(shown(b))); diff != "" {
					t.Errorf("%.9s (-want +got):\n%s", body, diff)
				}
			}
		})
	}
}

// TestProjects decodes messages for projects that lack a kind of identifier.
func TestProjects(t *testing.T) {
	t.Parallel()
	const identified = `{"event":"$identify","distinct_id":"u1","properties":{"$anon_distinct_id":"d"}}`
	const anonymous = `{"event":"e","distinct_id":"d","properties":{"$is_identified":false}}`
	for name, test := range map[string]struct {
		user, device, body, want string
	}{
		"no device, identified": {"email", "", identified, "email=u1"},
		"no device, anonymous":  {"email", "", anonymous, "email=d"},
		"no user, identified":   {"", "web", identified, "web=u1"},
		"no user, anonymous":    {"", "web", anonymous, "web=d"},
	} {
		b, err := Decode(&trackway.Project{User: test.user, Device: test.device}, []byte(test.body), received)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(shown(b))[1]; got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// TestSetOnce checks that the first of several such updates counts, whatever
// their order, and that any other update counts more.
func TestSetOnce(t *testing.T) {
	t.Parallel()
	d := decoder{sent: 1}
	first := d.once(received)
	if later := d.once(received + 1); later >= first {
		t.Errorf("got %d, and %d a microsecond later", first, later)
	}
	if early, late := d.once(trackway.MinTime), d.once(trackway.MaxTime); early >= 1_000_000_000_000_000 || late < trackway.MinTime || late > first || early < first {
		t.Errorf("got %d for the first moment and %d for the last", early, late)
	}
	d.sent++
	if second := d.once(received); second >= first {
		t.Errorf("got %d, and %d for the next message of the same time", first, second)
	}
}

func TestBad(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "1", `"a"`, `{`, `[{]`, `[]x`, `data=%7`, `data=%7b%7`, `data=!!`, `data=YWJj`, "data=", `{"batch":{}}`, `[1]`, `[{},0]`} {
		if b, err := Decode(shop, []byte(body), received); err != errJSON {
			t.Errorf("%s: got %+v, %v", body, b, err)
		}
	}
	for body, want := range map[string]string{
		`[]`: "", `{"batch":0,"batch":[]}`: "",
	} {
		if b, err := Decode(shop, []byte(body), received); err != nil || shown(b) != want {
			t.Errorf("%s: got %s, %v", body, shown(b), err)
		}
	}
	many := `[` + strings.Repeat(`{"event":"e","distinct_id":"u"},`, MaxMessages)
	if _, err := Decode(shop, []byte(many+`{}]`), received); err == nil || err.Code != trackway.TooLarge {
		t.Errorf("got %v for too many messages", err)
	}
	if b, err := Decode(shop, []byte(many[:len(many)-1]+`]`), received); err != nil || len(b.Commands) != MaxMessages {
		t.Errorf("got %v for %d messages", err, MaxMessages)
	}
}

// TestForms decodes the forms that pages send, and finds the key in them.
func TestForms(t *testing.T) {
	t.Parallel()
	const message = `{"event":"é +%/?&=","distinct_id":"u","properties":{"token":"k"}}`
	const want = "capture: registered=u 'é +%/?&=' 1700000000 {}\n"
	packed := base64.StdEncoding.EncodeToString([]byte(message))
	for name, body := range map[string]string{
		"JSON":                 message,
		"a form":               "data=" + url.QueryEscape(packed),
		"with another field":   "data=" + url.QueryEscape(packed) + "&compression=base64",
		"nothing escaped":      "data=" + packed,
		"no padding":           "data=" + strings.TrimRight(packed, "="),
		"JSON in a form":       "data=" + strings.ReplaceAll(url.QueryEscape(message), "+", "%20"),
		"an array in the form": "data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("["+message+"]"))),
	} {
		b := []byte(body)
		if got := Token(b); got != "k" {
			t.Errorf("%s: got the key %q", name, got)
		}
		batch, err := Decode(shop, b, received)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := shown(batch); got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"api_key":"k","batch":[]}`:                              "k",
		`{"batch":[{"properties":{"token":"no"}}],"api_key":"k"}`: "k",
		`{"token":"k"}`:                                                      "k",
		`{"api_key":5,"token":"k"}`:                                          "k",
		`{"event":"e","properties":{"token":"k"}}`:                           "k",
		`{"properties":{"properties":{"token":"k"}}}`:                        "",
		`[{"properties":{"a":{"token":"no"},"token":"k"}},{"api_key":"no"}]`: "k",
		`[{"event":"e"}]`:                                                    "", `[1,{"token":"k"}]`: "", `{"a":}`: "", `{}`: "", ``: "", `[]`: "", `{"api_key":"\u006b"}`: "k",
	} {
		if got := Token([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	b, err := Decode(shop, []byte(`[{"event":"e","distinct_id":"u"},{"uuid":"x"},{"event":1}]`), received)
	if err != nil {
		t.Fatal(err)
	}
	_, got, _ := results(b, received)
	const want = `{"status":1,"rejected":[{"uuid":"x","error":"Field 'event' is required."},{"error":"Field 'event': expected a string, got a number."}]}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	b, _ = Decode(shop, []byte(`[`+strings.Repeat(`{},`, maxReported+5)+`{}]`), received)
	if _, got, _ = results(b, received); strings.Count(string(got), "error") != maxReported || got[len(got)-1] != '}' {
		t.Errorf("got %s", got)
	}
	b, _ = Decode(shop, []byte(`{"event":"e","distinct_id":"u"}`), received)
	if _, got, _ = results(b, received); string(got) != `{"status":1}` {
		t.Errorf("got %s", got)
	}
	status, body := refusal(401, &trackway.Error{Code: trackway.Unidentified, Msg: "Access key not found"})
	if status != 401 || string(body) != `{"type":"authentication_error","code":"unidentified","detail":"Access key not found","attr":null}` {
		t.Errorf("got %d %s", status, body)
	}
	for _, answer := range [][]byte{Flags(), Config()} {
		s := canonjson.Scan(answer)
		if s.Value(); s.Bad() {
			t.Errorf("not JSON: %s", answer)
		}
	}
	if script := string(ConfigScript("k")); !strings.Contains(script, `["k"]={config:{"hasFeatureFlags":false,`) {
		t.Errorf("got %s", script)
	}
	for token, want := range map[string]bool{"phc_Ab1-.": true, "": false, `"]`: false, "é": false, strings.Repeat("a", 257): false} {
		if isToken(token) != want {
			t.Errorf("%q: want %t", token, want)
		}
	}
}

// FuzzDecode checks that any body is decoded without a panic, and that the
// result is canonical.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"api_key":"k","batch":[{"event":"e","distinct_id":"u","uuid":"x","properties":{"b":1,"a":[],"$set":{"x":1},"$unset":["a"]},"offset":1}]}`))
	f.Add([]byte(`data=eyJldmVudCI6ImUifQ%3D%3D`))
	f.Fuzz(func(t *testing.T, body []byte) {
		Token(body)
		b, err := Decode(shop, body, received)
		if err != nil {
			return
		}
		for i := range b.Commands {
			object := canonjson.AppendObject(nil, b.Commands[i].Properties)
			d := canonjson.Decode(object)
			again, problem := d.Properties()
			if d.End(); d.Bad() || problem.Fault != canonjson.None || string(canonjson.AppendObject(nil, again)) != string(object) {
				t.Fatalf("%q is not canonical: %+v", object, problem)
			}
		}
	})
}
