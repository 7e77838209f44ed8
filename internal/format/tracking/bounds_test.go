package tracking

import (
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
)

// TestCollectedIsBounded checks that the number of parts decides whether a
// small body is refused, not the memory that it would take.
func TestCollectedIsBounded(t *testing.T) {
	t.Parallel()
	ids := func(n int) string {
		return `{"customer_ids":{"cookie":[1` + strings.Repeat(",1", n-1) + `]},"event_type":"e"}`
	}
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%d":1`, i)
		}
		return `{"event_type":"e","properties":{` + b.String()[1:] + `}}`
	}
	for _, c := range []struct{ body, want string }{
		{ids(maxIDs), ""},
		{ids(maxIDs + 1), "Field 'customer_ids': at most 1024 ids."},
		{names(canonjson.MaxMembers), ""},
		{names(canonjson.MaxMembers + 1), "Field 'properties': at most 4096 members."},
		// A member that is not kept is still read strictly.
		{strings.Replace(names(canonjson.MaxMembers+1), "4096", "\x01", 1), "Invalid JSON"},
	} {
		_, err := DecodeCommand(Events, []byte(c.body), 0)
		got := ""
		if err != nil {
			got = Text(err)
		}
		if got != c.want {
			t.Errorf("%.60s…: got %q, want %q", c.body, got, c.want)
		}
	}
}

// boundedValues returns values of a property at a bound and beyond it, with the
// expected error. If the error is empty, the value is accepted.
func boundedValues() map[string]string {
	nested := func(levels int, open, inner, end string) string {
		return strings.Repeat(open, levels) + inner + strings.Repeat(end, levels)
	}
	object := func(members int) string { return `{"":0` + strings.Repeat(`,"":0`, members-1) + `}` }
	digits := func(n int) string { return strings.Repeat("9", n) }
	const (
		levels  = "at most 100 levels of arrays and objects"
		wide    = "at most 4096 members in an object"
		long    = "numbers of at most 64 digits"
		doubles = "numbers below 1.8e308, with exponents of at least -400"
	)
	return map[string]string{
		nested(100, `[`, ``, `]`):                        "",
		nested(100, `{"b":0,"a":`, `1`, `}`):             "",
		nested(50, ` [ { "a" : `, `"x"`, ` } ] `):        "",
		`[` + nested(99, `[`, ``, `]`) + `,[],{}]`:       "",
		nested(101, `[`, ``, `]`):                        levels,
		nested(101, `{"a":`, `1`, `}`):                   levels,
		`{"a":{},"b":` + nested(100, `[`, ``, `]`) + `}`: levels,
		nested(100_000, `[{"":`, `[]`, `}]`):             levels,
		object(4096):                                     "",
		`[{"a":` + object(4096) + `}]`:                   "",
		object(4097):                                     wide,
		nested(99, `[`, object(4097), `]`):               wide,
		`[` + object(4096) + `,` + object(4097) + `]`:    wide,
		digits(64):                 "",
		`-` + digits(63) + `.5e-7`: "",
		`[0.` + digits(63) + `]`:   "",
		digits(65):                 long,
		`-0.` + digits(64):         long,
		`0.` + strings.Repeat("0", 16_000) + `e1`:       long,
		`{"a":[1,{"b":` + digits(16_000) + `}]}`:        long,
		`[5e-324,1e-400,1.7976931348623157e+308,0e400]`: "",
		`1e309`:                    doubles,
		`[-1.8E308]`:               doubles,
		`1e-401`:                   doubles,
		`1e999999`:                 doubles,
		`0e-999999999999999999999`: doubles,
	}
}

// TestBoundsOnValues checks that bounds apply to each value and so are the same
// for every entry point. A batch's other commands are not affected.
func TestBoundsOnValues(t *testing.T) {
	t.Parallel()
	for value, expected := range boundedValues() {
		want := (*trackway.Error)(nil)
		if expected != "" {
			want = &trackway.Error{Code: trackway.Invalid, Field: "properties.p", Msg: "Field 'properties.p': expected " + expected + "."}
		}
		data := `{"customer_ids":{"a":"b"},"event_type":"e","url":"u","properties":{"good":1,"p":` + value + `}}`
		check := func(way string, c trackway.Command, err *trackway.Error) {
			t.Helper()
			if diff := cmp.Diff(want, told(err)); diff != "" {
				t.Errorf("%.40s…, %s: -want +got %s", value, way, diff)
			}
			if err == nil && (len(c.Properties) < 2 || c.Properties[0].Name != "good") {
				t.Errorf("%.40s…, %s: got %d properties", value, way, len(c.Properties))
			}
			if err != nil && (len(c.IDs) != 1 || len(c.Properties) != 0) {
				t.Errorf("%.40s…, %s: got refused %+v", value, way, c)
			}
		}
		for _, name := range []string{Customers, Events, Clicks} {
			c, err := DecodeCommand(name, []byte(data), received)
			check(name, c, err)
			one := `{"name":"` + name + `","data":` + data + `}`
			c, err = DecodeLine([]byte(one), received)
			check("line of "+name, c, err)
			const good = `{"name":"customers","data":{}}`
			items, err := decodeItems([]byte(`{"commands":[` + good + `,` + one + `,` + good + `]}`))
			if err != nil || len(items) != 3 || items[0].Err != nil || items[2].Err != nil {
				t.Fatalf("%.40s…: got %d items, %v", value, len(items), err)
			}
			check("batch of "+name, items[1].Command, items[1].Err)
		}
		for _, elsewhere := range []string{
			`{"x":` + value + `,"event_type":"e"}`, `{"properties":{"p":` + value + `},"properties":{"p":1},"event_type":"e"}`,
		} {
			if _, err := DecodeCommand(Events, []byte(elsewhere), received); err != nil {
				t.Errorf("%.60s…: what is not kept is refused: %v", elsewhere, err)
			}
		}
	}
}

// TestTooLongIsNotRewritten checks that a value that is too long is refused as
// it was sent.
func TestTooLongIsNotRewritten(t *testing.T) {
	t.Parallel()
	event := func(properties int) string {
		head := `{"b":0,"a":"`
		return `{"event_type":"e","properties":` + head + strings.Repeat("x", properties-len(head)-2) + `"}}`
	}
	for properties, want := range map[int]*trackway.Error{
		trackway.MaxEventBytes: nil,
		trackway.MaxEventBytes + 1: {
			Code: trackway.TooLarge, Field: "properties", Msg: "Field 'properties': expected at most 800000 bytes of JSON, got 800001.",
		},
	} {
		for _, name := range []string{Customers, Events, Clicks} {
			c, err := DecodeCommand(name, []byte(event(properties)), received)
			if diff := cmp.Diff(want, told(err)); diff != "" || err == nil && len(c.Properties) != 2 {
				t.Errorf("%s with properties of %d bytes: got %d properties; -want +got %s", name, properties, len(c.Properties), diff)
			}
		}
	}
}

// TestCommandID checks that no reader of an answer can fail on a command_id,
// which is returned unchanged.
func TestCommandID(t *testing.T) {
	t.Parallel()
	sent := func(id string) item {
		items, err := decodeItems([]byte(`{"commands":[{"command_id":` + id + `,"name":"system/time"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return items[0]
	}
	for _, id := range []string{`"a"`, `7`, `{"a": [ ]}`, strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100), `"` + strings.Repeat("x", 1022) + `"`} {
		if item := sent(id); item.Err != nil || string(item.CommandID) != id {
			t.Errorf("%.40s: got %s, error %v", id, item.CommandID, item.Err)
		}
	}
	for id, expected := range map[string]string{
		`"` + strings.Repeat("x", 1023) + `"`:               "at most 1024 bytes of JSON, got 1025",
		strings.Repeat(`[`, 101) + strings.Repeat(`]`, 101): "at most 100 levels of arrays and objects",
		strings.Repeat(`9`, 65):                             "numbers of at most 64 digits",
	} {
		item := sent(id)
		if item.Err == nil || item.Err.Field != "command_id" || Text(item.Err) != "Field 'command_id': expected "+expected+"." || item.CommandID != nil {
			t.Errorf("%.40s: got %s, error %v", id, item.CommandID, item.Err)
		}
	}
}

// TestIDsOfDigits checks that a numeric id has at most as many digits as any
// other number, however it is spelled.
func TestIDsOfDigits(t *testing.T) {
	t.Parallel()
	for id, good := range map[string]bool{
		strings.Repeat("9", 64): true, "-" + strings.Repeat("9", 64): true, "1e63": true, "-1e-64": true,
		strings.Repeat("9", 65): false, "1e64": false, "1e-65": false, "1e999999": false, "0." + strings.Repeat("1", 65): false,
	} {
		for _, ids := range []string{id, "[1," + id + "]"} {
			_, err := DecodeCommand(Customers, []byte(`{"customer_ids":{"a":`+ids+`}}`), received)
			if (err == nil) != good || !good && Text(err) != "Field 'customer_ids.a': expected numbers of at most 64 digits." {
				t.Errorf("%.40s: got %v", ids, err)
			}
		}
	}
}

// TestDepth checks that excessively nested values are read as strictly as
// others, in any place, and take no stack.
func TestDepth(t *testing.T) { // not parallel: the bound on stacks is the process's
	const stack = 16 << 20 // beyond it the process ends
	defer debug.SetMaxStack(debug.SetMaxStack(stack))
	for open, end := range map[string]string{`[`: `]`, `{"":`: `}`, `[0,{"a":[],"b":{},"c":`: ` } , "x" ] `} {
		deep := func(levels int) string {
			return strings.Repeat(open, levels) + "1" + strings.Repeat(end, levels)
		}
		valid := deep(2_000)
		texts := map[string]bool{
			valid: true, valid + ",": false, valid[:len(valid)-1] + ")": false, strings.Repeat(open, 2_000): false,
			strings.Replace(valid, "1", "01", 1): false, strings.Replace(valid, "1", "", 1): open == "[",
			strings.Replace(valid, "1"+end, "1,"+end, 1): false, strings.Replace(valid, "1"+end, "1"+"]}"+end, 1): false,
		}
		for text, good := range texts {
			for _, body := range []string{
				`{"x":` + text + `}`, `{"commands":[{"x":` + text + `}]}`, `{"commands":[{"data":` + text + `}]}`, `{"properties":{"a":` + text + `}}`,
			} {
				_, one := DecodeCommand(Events, []byte(body), received)
				_, batch := DecodeBatch([]byte(body), received)
				if (one == nil || Text(one) != "Invalid JSON") != good || (batch == nil || Text(batch) != "Invalid JSON") != good {
					t.Errorf("%.40s…%s: got %v and %v, valid: %t", body, body[len(body)-40:], one, batch, good)
				}
			}
		}
		if _, err := DecodeCommand(Events, []byte(`{"properties":{"a":`+deep(300_000)+`}}`), received); err == nil || err.Field != "properties.a" {
			t.Errorf("got %v", err)
		}
	}
}
