package ingest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

var shop = &trackway.Project{Number: 7, Hard: []string{"registered", "email"}, Soft: []string{"cookie"}}

// named returns identifiers as a decoder does, of which it is not known yet whether they are hard.
func named(namesAndValues ...string) (ids []trackway.Identifier) {
	for pair := range slices.Chunk(namesAndValues, 2) {
		ids = append(ids, trackway.Identifier{Name: pair[0], Value: pair[1]})
	}
	return ids
}

// TestClassify: the error's field and message, both empty where the identifiers are accepted.
func TestClassify(t *testing.T) {
	t.Parallel()
	const noID = ": expected an id with at least one letter or digit that is not 'null' or 'undefined'."
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
		"another case":       {ids: named("cookie", "NULL")},
		"zero byte":          {ids: named("cookie", "a\x00")},
		"64 soft":            {ids: many(64)},
		"64 soft and again":  {ids: append(many(64), many(64)...)},
		"65 soft":            {ids: many(65), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie': expected at most 64, got more."},
		"too long": {
			ids: named("cookie", strings.Repeat("c", 257)), field: "customer_ids.cookie",
			msg: "Field 'customer_ids.cookie': expected at most 256 bytes, got 257.",
		},
		"empty":     {ids: named("registered", ""), field: "customer_ids.registered", msg: "Field 'customer_ids.registered'" + noID},
		"spaces":    {ids: named("cookie", " \t"), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie'" + noID},
		"dashes":    {ids: named("cookie", "--_"), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie'" + noID},
		"null":      {ids: named("cookie", "null"), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie'" + noID},
		"undefined": {ids: named("cookie", "undefined"), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie'" + noID},
		"no text":   {ids: named("cookie", "\xff\xfe"), field: "customer_ids.cookie", msg: "Field 'customer_ids.cookie'" + noID},
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
			got, err := Classify(shop, test.ids)
			if test.field != "" {
				want := &trackway.Error{Code: trackway.Invalid, Field: test.field, Msg: test.msg}
				if diff := cmp.Diff(want, err); diff != "" || got != nil {
					t.Errorf("got %v; error (-want): %s", got, diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range got {
				if want := id.Name == "registered" || id.Name == "email"; id.Hard != want {
					t.Errorf("%v: got hard %v, want %v", id, id.Hard, want)
				}
			}
			for i := range sent {
				sent[i].Hard = slices.Contains(shop.Hard, sent[i].Name)
			}
			if diff := cmp.Diff(firsts(sent), firsts(got)); diff != "" || len(got) != len(firsts(got)) {
				t.Errorf("identifiers, each once and in order (-want): %s", diff)
			}
		})
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
			if diff := cmp.Diff(test.want, Validate(shop, &c)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
