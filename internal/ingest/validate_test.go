package ingest

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/format/tracking"
)

var shop = &trackway.Project{Number: 7, Name: "shop", Hard: []string{"registered", "email"}, Soft: []string{"cookie"}, Nobody: []string{"null", "undefined", "none", "nil", "nan", "(null)", "[object object]", "0"}}

// named returns identifiers as a decoder does, not yet classified as hard or
// soft.
func named(namesAndValues ...string) (ids []trackway.Identifier) {
	for pair := range slices.Chunk(namesAndValues, 2) {
		ids = append(ids, trackway.Identifier{Name: pair[0], Value: pair[1]})
	}
	return ids
}

// told returns an error as a client of the tracking API sees it: its reason in
// words.
func told(err *trackway.Error) *trackway.Error {
	if err == nil {
		return nil
	}
	return &trackway.Error{Code: err.Code, Field: err.Field, Msg: tracking.Text(err)}
}

// TestClassify checks the error's field and message. Both are empty if the
// identifiers are accepted.
func TestClassify(t *testing.T) {
	t.Parallel()
	many := func(n int) (ids []trackway.Identifier) {
		for i := range n {
			ids = append(ids, trackway.Identifier{Name: "cookie", Value: "c" + string(rune('a'+i/26)) + string(rune('a'+i%26))})
		}
		return ids
	}
	tests := map[string]struct {
		ids        []trackway.Identifier
		field, msg string
	}{
		"one":                {ids: named("cookie", "c")},
		"none":               {ids: nil},
		"all kinds":          {ids: named("registered", "r", "email", "e@example.com", "cookie", "c1", "cookie", "c2")},
		"longest":            {ids: named("cookie", strings.Repeat("c", 256))},
		"a letter of Greece": {ids: named("cookie", "-ω-")},
		"a digit of India":   {ids: named("cookie", "٣")},
		"holds null":         {ids: named("cookie", "nullable")},
		"spaces around":      {ids: named("cookie", " c\t", "registered", "\u00a0r\u3000")},
		"zero byte":          {ids: named("cookie", "a\x00")},
		"64 soft":            {ids: many(64)},
		"64 soft and again":  {ids: append(many(64), many(64)...)},
		"65 soft":            {ids: many(65), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie': expected at most 64, got more."},
		"too long": {
			ids: named("cookie", strings.Repeat("c", 257)), field: "customer_ids.cookie",
			msg: "Field 'customer_ids.cookie': expected at most 256 bytes, got 257.",
		},
		"two hard": {
			ids: named("registered", "r1", "registered", "r2"), field: "customer_ids.registered",
			msg: "Field 'customer_ids.registered': expected at most 1, got more.",
		},
		"unknown name": {
			ids: named("cookie", "c", "Registered", "r"), field: "customer_ids",
			msg: `Field 'customer_ids': expected registered or email or cookie, got "Registered".`,
		},
		"unknown long name": {
			ids: named(strings.Repeat("ä", 200), "r"), field: "customer_ids",
			msg: `Field 'customer_ids': expected registered or email or cookie, got "` + strings.Repeat("ä", 32) + `…".`,
		},
		"unknown hostile name": {
			ids: named("\"\n\x00", "r"), field: "customer_ids",
			msg: `Field 'customer_ids': expected registered or email or cookie, got "\"\n\x00".`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := slices.Clone(test.ids)
			got, left, err := Classify(shop, test.ids)
			if test.field != "" {
				want := &trackway.Error{Code: trackway.Invalid, Field: test.field, Msg: test.msg}
				if diff := cmp.Diff(want, told(err)); diff != "" || got != nil {
					t.Errorf("got %v; error (-want): %s", got, diff)
				}
				return
			}
			if err != nil || left != nil {
				t.Fatal(left, err)
			}
			for _, id := range got {
				if want := id.Name == "registered" || id.Name == "email"; id.Hard != want {
					t.Errorf("%v: got hard %v, want %v", id, id.Hard, want)
				}
			}
			for i := range sent {
				sent[i].Hard = slices.Contains(shop.Hard, sent[i].Name)
				sent[i].Value = strings.TrimSpace(sent[i].Value)
			}
			if diff := cmp.Diff(firsts(sent), firsts(got)); diff != "" || len(got) != len(firsts(got)) {
				t.Errorf("identifiers, each once and in order (-want): %s", diff)
			}
		})
	}
}

// TestNamesAreTheProjects: the names of identifiers are the project's own
// texts, even of those that are left out. Metrics keep them, longer than the
// body that the command is a part of.
func TestNamesAreTheProjects(t *testing.T) {
	t.Parallel()
	for _, own := range slices.Concat(shop.Hard, shop.Soft) {
		kept, left, err := Classify(shop, named(strings.Clone(own), "c", strings.Clone(own), "-"))
		if err != nil || len(kept) != 1 || len(left) != 1 {
			t.Fatal(kept, left, err)
		}
		for _, id := range []trackway.Identifier{kept[0], left[0]} {
			if unsafe.StringData(id.Name) != unsafe.StringData(own) {
				t.Errorf("the name of %v is another text", id)
			}
		}
	}
}

// TestLeftOut checks that identifiers that name nobody are listed with the
// reason, and that the caller's ids stay in their places.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	listed := func(name, value string) trackway.Identifier {
		return trackway.Identifier{Name: name, Value: value, Hard: name != "cookie"}
	}
	empty := func(name string) trackway.Identifier { return listed(name, "") }
	signs := func(name string) trackway.Identifier { return listed(name, "-") }
	own := *shop
	own.Nobody = []string{"anonymous", "0"}
	tests := map[string]struct {
		of   *trackway.Project
		ids  []trackway.Identifier
		kept string
		left []trackway.Identifier
	}{
		"empty":            {shop, named("registered", "", "cookie", "c"), "cookie=c", []trackway.Identifier{empty("registered")}},
		"white space":      {shop, named("cookie", "c", "registered", " \t\u2028"), "cookie=c", []trackway.Identifier{empty("registered")}},
		"signs":            {shop, named("cookie", "--_", "registered", "r", "email", "\xff\xfe"), "registered=r", []trackway.Identifier{signs("cookie"), signs("email")}},
		"usual texts":      {shop, named("cookie", "null", "cookie", "UNDEFINED", "cookie", "None", "cookie", "Nil", "cookie", "NaN", "cookie", "(NULL)", "cookie", "[object Object]"), "", []trackway.Identifier{listed("cookie", "null"), listed("cookie", "undefined"), listed("cookie", "none"), listed("cookie", "nil"), listed("cookie", "nan"), listed("cookie", "(null)"), listed("cookie", "[object object]")}},
		"0, hard":          {shop, named("registered", "0", "email", " 0 "), "", []trackway.Identifier{listed("registered", "0"), listed("email", "0")}},
		"0, soft":          {shop, named("cookie", "0"), "cookie=0", nil},
		"zeros":            {shop, named("registered", "00", "email", "0.0"), "registered=00 email=0.0", nil},
		"a part":           {shop, named("registered", "nullable", "cookie", "none at all"), "registered=nullable cookie=none at all", nil},
		"beside good":      {shop, named("cookie", "", "cookie", "a", "cookie", "null", "cookie", "b", "cookie", "a"), "cookie=a cookie=b", []trackway.Identifier{empty("cookie"), listed("cookie", "null")}},
		"second hard one":  {shop, named("registered", "", "registered", "r"), "registered=r", []trackway.Identifier{empty("registered")}},
		"own list":         {&own, named("registered", "Anonymous", "cookie", "null", "email", "0"), "cookie=null", []trackway.Identifier{listed("registered", "anonymous"), listed("email", "0")}},
		"own list, always": {&own, named("registered", "", "cookie", "?"), "", []trackway.Identifier{empty("registered"), signs("cookie")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := slices.Clone(test.ids)
			kept, left, err := Classify(test.of, test.ids)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, id := range kept {
				got = append(got, id.Name+"="+id.Value)
			}
			if strings.Join(got, " ") != test.kept {
				t.Errorf("kept %v, want %s", got, test.kept)
			}
			for _, l := range left {
				if why := map[string]string{"": "empty", "-": "signs"}[l.Value]; l.WhyLeftOut() != orListed(why) {
					t.Errorf("%v was left out because of %s", l, l.WhyLeftOut())
				}
			}
			if diff := cmp.Diff(test.left, left); diff != "" {
				t.Errorf("left out (-want): %s", diff)
			}
			for i, id := range test.ids {
				if id.Name != sent[i].Name || id.Value != strings.TrimSpace(sent[i].Value) {
					t.Errorf("the caller has %v in place of %v", id, sent[i])
				}
			}
		})
	}
}

func orListed(why string) string {
	if why == "" {
		return "listed"
	}
	return why
}

// TestMergeNames checks that a client's merge may name as many identifiers as a
// merge of the project can, and that those of other events are not counted.
func TestMergeNames(t *testing.T) {
	t.Parallel()
	const most = 3 * (2 + 64)
	merge := func(typ string, sizes ...int) *trackway.Command {
		c := &trackway.Command{Kind: trackway.AddEvent, IDs: named("cookie", "c"), Type: typ, Time: 1, Received: 1}
		for i, name := range []string{"absorbed_ids", "cause_ids", "other", "survivor_ids"} {
			value := "[" + strings.TrimSuffix(strings.Repeat(`"x",`, sizes[i]), ",") + "]"
			c.Properties = append(c.Properties, trackway.Property{Name: name, Value: []byte(`{"cookie":` + value + `,"n":1}`)})
		}
		return c
	}
	for name, test := range map[string]struct {
		c     *trackway.Command
		field string
	}{
		"as many as can be":   {merge("merge", most-2, 1, 3000, 1), ""},
		"one more":            {merge("merge", most-2, 1, 0, 2), "properties.survivor_ids"},
		"many more":           {merge("merge", 6000, 0, 0, 0), "properties.absorbed_ids"},
		"of another type":     {merge("merged", 3000, 0, 0, 0), ""},
		"property, no object": {&trackway.Command{Kind: trackway.AddEvent, IDs: named("cookie", "c"), Type: "merge", Properties: []trackway.Property{{Name: "cause_ids", Value: []byte(`"x"`)}}}, ""},
		"update": {func() *trackway.Command {
			c := merge("", 3000, 0, 0, 0)
			c.Kind = trackway.UpdateCustomer
			return c
		}(), ""},
	} {
		err := Validate(shop, test.c)
		if (err == nil) != (test.field == "") || err != nil && (err.Field != test.field || err.Limit != 198) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestFromTheFuture checks that an update takes the time of its receipt at the
// latest, while an event keeps the time that it was sent with.
func TestFromTheFuture(t *testing.T) {
	t.Parallel()
	for _, at := range []trackway.Micros{received - 1, received, received + 1, trackway.MaxTime} {
		c := trackway.Command{Kind: trackway.UpdateCustomer, IDs: named("cookie", "c"), Time: at, TimeGiven: true, Received: received}
		if err := Validate(shop, &c); err != nil || c.Time != min(at, received) {
			t.Errorf("update at %d: got %d, %v", at, c.Time, err)
		}
		c = trackway.Command{Kind: trackway.AddEvent, IDs: named("cookie", "c"), Type: "e", Time: at, TimeGiven: true, Received: received}
		if err := Validate(shop, &c); err != nil || c.Time != at {
			t.Errorf("event at %d: got %d, %v", at, c.Time, err)
		}
	}
}

// firsts returns ids without repetitions.
func firsts(ids []trackway.Identifier) (kept []trackway.Identifier) {
	for _, id := range ids {
		if !slices.Contains(kept, id) {
			kept = append(kept, id)
		}
	}
	return kept
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func(change func(*trackway.Command)) trackway.Command {
		c := trackway.Command{
			Kind: trackway.AddEvent, IDs: named("cookie", "c"), Type: "visit", Time: 1, Received: 1, Bytes: 100,
			Properties: []trackway.Property{{Name: "a", Value: []byte("1")}},
		}
		change(&c)
		return c
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct {
		change func(*trackway.Command)
		want   *trackway.Error // nil: accepted
	}{
		"good":          {change: func(*trackway.Command) {}},
		"update":        {change: func(c *trackway.Command) { c.Kind, c.Type = trackway.UpdateCustomer, "" }},
		"anonymous":     {change: func(c *trackway.Command) { c.IDs, c.Anonymous = nil, true }},
		"no properties": {change: func(c *trackway.Command) { c.Properties = nil }},
		"earliest":      {change: func(c *trackway.Command) { c.Time = trackway.MinTime }},
		"latest":        {change: func(c *trackway.Command) { c.Time = trackway.MaxTime }},
		"longest type":  {change: func(c *trackway.Command) { c.Type = long(256) }},
		"longest name":  {change: func(c *trackway.Command) { c.Properties[0].Name = long(256) }},
		"value of an event": {change: func(c *trackway.Command) {
			c.Properties[0].Value = []byte(long(trackway.MaxEventBytes - 100))
		}},
		"longest value of a customer": {change: func(c *trackway.Command) {
			c.Kind, c.Properties[0].Value = trackway.UpdateCustomer, []byte(long(16<<10))
		}},
		"largest event":   {change: func(c *trackway.Command) { c.Bytes = 800_000 }},
		"update is large": {change: func(c *trackway.Command) { c.Kind, c.Bytes = trackway.UpdateCustomer, 800_001 }},
		"no ids": {
			change: func(c *trackway.Command) { c.IDs = nil },
			want:   &trackway.Error{Code: trackway.Invalid, Field: "customer_ids", Msg: "At least one id should be specified."},
		},
		"anonymous with a bad id": {
			change: func(c *trackway.Command) { c.IDs, c.Anonymous = named("device", "d"), true },
			want: &trackway.Error{
				Code: trackway.Invalid, Field: "customer_ids",
				Msg: `Field 'customer_ids': expected registered or email or cookie, got "device".`,
			},
		},
		"no type": {
			change: func(c *trackway.Command) { c.Type = "" },
			want:   &trackway.Error{Code: trackway.Invalid, Field: "event_type", Msg: "Field 'event_type' is required."},
		},
		"long type": {
			change: func(c *trackway.Command) { c.Type = long(257) },
			want: &trackway.Error{
				Code: trackway.Invalid, Field: "event_type", Msg: "Field 'event_type': expected at most 256 bytes, got 257.",
			},
		},
		"large event": {
			change: func(c *trackway.Command) { c.Bytes = 800_001 },
			want: &trackway.Error{
				Code: trackway.TooLarge, Field: "properties", Msg: "An event may have at most 800000 bytes, this one has 800001.",
			},
		},
		"too early": {
			change: func(c *trackway.Command) { c.Time = trackway.MinTime - 1 },
			want: &trackway.Error{
				Code: trackway.Invalid, Field: "timestamp", Msg: "Field 'timestamp': expected a time in the years 1970 to 2200.",
			},
		},
		"too late": {
			change: func(c *trackway.Command) { c.Kind, c.Time = trackway.UpdateCustomer, trackway.MaxTime+1 },
			want: &trackway.Error{
				Code: trackway.Invalid, Field: "timestamp", Msg: "Field 'timestamp': expected a time in the years 1970 to 2200.",
			},
		},
		"long name": {
			change: func(c *trackway.Command) { c.Properties[0].Name = long(257) },
			want: &trackway.Error{
				Code: trackway.Invalid, Field: "properties", Msg: "Field 'properties': expected names of at most 256 bytes, got one of 257.",
			},
		},
		"long value": {
			change: func(c *trackway.Command) {
				c.Kind, c.Properties[0].Value = trackway.UpdateCustomer, []byte(long(16<<10+1))
			},
			want: &trackway.Error{
				Code: trackway.Invalid, Field: "properties.a", Msg: "Field 'properties.a': expected at most 16384 bytes of JSON, got 16385.",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good(test.change)
			err := Validate(shop, &c)
			if diff := cmp.Diff(test.want, told(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
