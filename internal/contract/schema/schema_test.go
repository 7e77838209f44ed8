package schema

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/allocs"
	"trackway/internal/canonjson"
)

// must parses a schema.
func must(t testing.TB, src string) *Schema {
	t.Helper()
	s, p := Parse([]byte(src))
	if p != nil {
		t.Fatalf("%s: %v", src, p)
	}
	return s
}

// properties returns the properties of an event as the store gets them.
func properties(src string) []trackway.Property {
	return canonjson.SplitObject(canonjson.AppendCanonical(nil, []byte(src)))
}

// TestCheck has cases for each keyword, from the text of draft 2020-12. want is
// the demand that is broken, as its path and keyword, or empty.
func TestCheck(t *testing.T) {
	t.Parallel()
	x := func(schema string) string { return `{"properties":{"x":` + schema + `}}` }
	v := func(value string) string { return `{"x":` + value + `}` }
	for _, test := range []struct{ schema, event, want string }{
		{`{}`, `{"a":[1,{"b":null}]}`, ""},
		{`{"type":"object"}`, `{}`, ""},
		{x(`true`), v(`1`), ""},
		{x(`false`), v(`1`), "x false"},
		{x(`false`), `{}`, ""},

		{x(`{"type":"string"}`), v(`"a"`), ""},
		{x(`{"type":"string"}`), v(`1`), "x type"},
		{x(`{"type":"number"}`), v(`1.5`), ""},
		{x(`{"type":"number"}`), v(`-1`), ""},
		{x(`{"type":"number"}`), v(`"1"`), "x type"},
		{x(`{"type":"integer"}`), v(`1`), ""},
		{x(`{"type":"integer"}`), v(`1.0`), ""},
		{x(`{"type":"integer"}`), v(`1e2`), ""},
		{x(`{"type":"integer"}`), v(`150e-1`), ""},
		{x(`{"type":"integer"}`), v(`15e-1`), "x type"},
		{x(`{"type":"integer"}`), v(`1.5`), "x type"},
		{x(`{"type":"integer"}`), v(`0.0e-9`), ""},
		{x(`{"type":"boolean"}`), v(`false`), ""},
		{x(`{"type":"boolean"}`), v(`0`), "x type"},
		{x(`{"type":"null"}`), v(`null`), ""},
		{x(`{"type":"null"}`), v(`false`), "x type"},
		{x(`{"type":"array"}`), v(`[]`), ""},
		{x(`{"type":"array"}`), v(`{}`), "x type"},
		{x(`{"type":"object"}`), v(`{}`), ""},
		{x(`{"type":"object"}`), v(`[]`), "x type"},
		{x(`{"type":["string","null"]}`), v(`null`), ""},
		{x(`{"type":["integer","string"]}`), v(`true`), "x type"},

		{x(`{"enum":["a","b",1,null,true]}`), v(`"b"`), ""},
		{x(`{"enum":["a","b",1,null,true]}`), v(`1.0`), ""},
		{x(`{"enum":["a","b",1,null,true]}`), v(`null`), ""},
		{x(`{"enum":["a","b",1,null,true]}`), v(`false`), "x enum"},
		{x(`{"enum":["a","b",1]}`), v(`"1"`), "x enum"},
		{x(`{"enum":["1"]}`), v(`1`), "x enum"},
		{x(`{"enum":["\u0061/"]}`), v(`"a\/"`), ""},
		{x(`{"const":"a"}`), v(`"b"`), "x const"},
		{x(`{"const":10}`), v(`1e1`), ""},

		{x(`{"minLength":2,"maxLength":3}`), v(`"ä"`), "x minLength"},
		{x(`{"minLength":2,"maxLength":3}`), v(`"ää"`), ""},
		{x(`{"minLength":2,"maxLength":3}`), v(`"💶💶💶"`), ""},
		{x(`{"minLength":2,"maxLength":3}`), v(`"abcd"`), "x maxLength"},
		{x(`{"maxLength":1}`), v(`"\n"`), ""},
		{x(`{"maxLength":1}`), v(`12`), ""},
		{x(`{"maxLength":0}`), v(`""`), ""},
		{x(`{"pattern":"b+"}`), v(`"abbc"`), ""},
		{x(`{"pattern":"^b+$"}`), v(`"abbc"`), "x pattern"},
		{x(`{"pattern":"^\"$"}`), v(`"\""`), ""},
		{x(`{"pattern":"^b"}`), v(`1`), ""},

		{x(`{"format":"date-time"}`), v(`"2026-11-29T20:00:00.5+01:00"`), ""},
		{x(`{"format":"date-time"}`), v(`"2026-11-29t20:00:00z"`), ""},
		{x(`{"format":"date-time"}`), v(`"2026-11-29"`), "x format"},
		{x(`{"format":"date-time"}`), v(`"2026-11-29T20:00:00.12400Z"`), ""},
		{x(`{"format":"date-time"}`), v(`"2026-11-29T2:00:00.00Z"`), "x format"},
		{x(`{"format":"date-time"}`), v(`"2026-11-29T20:00:00,5Z"`), "x format"},
		{x(`{"format":"date-time"}`), v(`"2026-11-29T20:00:00+24:00"`), "x format"},
		{x(`{"format":"date-time"}`), v(`"2026-11-29T20:00:00+00:60"`), "x format"},
		{x(`{"format":"date"}`), v(`"2026-02-28"`), ""},
		{x(`{"format":"date"}`), v(`"2026-02-29"`), "x format"},
		{x(`{"format":"email"}`), v(`"a@b"`), ""},
		{x(`{"format":"email"}`), v(`"a@b@c"`), "x format"},
		{x(`{"format":"email"}`), v(`"a b@c"`), "x format"},
		{x(`{"format":"uuid"}`), v(`"12345678-1234-1234-1234-123456789abC"`), ""},
		{x(`{"format":"uuid"}`), v(`"12345678-1234-1234-1234-123456789abg"`), "x format"},
		{x(`{"format":"uuid"}`), v(`"12345678x1234-1234-1234-123456789abc"`), "x format"},
		{x(`{"format":"uri"}`), v(`"https://example.com/a?b"`), ""},
		{x(`{"format":"uri"}`), v(`"/a"`), "x format"},
		{x(`{"format":"uri"}`), v(`"https://example.com/a b"`), "x format"},
		{x(`{"format":"ipv4"}`), v(`"192.0.2.1"`), ""},
		{x(`{"format":"ipv4"}`), v(`"192.0.2.01"`), "x format"},
		{x(`{"format":"ipv6"}`), v(`"2001:db8::1"`), ""},
		{x(`{"format":"ipv6"}`), v(`"fe80::1%eth0"`), "x format"},
		{x(`{"format":"ipv4"}`), v(`12`), ""},

		{x(`{"minimum":0}`), v(`0`), ""},
		{x(`{"minimum":0}`), v(`-0.0`), ""},
		{x(`{"minimum":0}`), v(`-1e-300`), "x minimum"},
		{x(`{"minimum":0}`), v(`"-1"`), ""},
		{x(`{"maximum":10}`), v(`10.0`), ""},
		{x(`{"maximum":10}`), v(`10.0000000000000000000000000000001`), "x maximum"},
		{x(`{"exclusiveMinimum":1}`), v(`1`), "x exclusiveMinimum"},
		{x(`{"exclusiveMinimum":1}`), v(`1.1`), ""},
		{x(`{"exclusiveMaximum":1}`), v(`1e0`), "x exclusiveMaximum"},
		{x(`{"exclusiveMaximum":1}`), v(`-1`), ""},
		{x(`{"minimum":-5,"maximum":-2}`), v(`-5.5`), "x minimum"},
		{x(`{"minimum":-5,"maximum":-2}`), v(`-1`), "x maximum"},
		{x(`{"minimum":9007199254740993}`), v(`9007199254740992`), "x minimum"},

		{x(`{"items":{"type":"string"}}`), v(`["a","b"]`), ""},
		{x(`{"items":{"type":"string"}}`), v(`["a",1]`), "x[] type"},
		{x(`{"items":{"type":"string"}}`), v(`1`), ""},
		{x(`{"items":false}`), v(`[]`), ""},
		{x(`{"items":false}`), v(`[1]`), "x[] false"},
		{x(`{"minItems":1,"maxItems":2}`), v(`[]`), "x minItems"},
		{x(`{"minItems":1,"maxItems":2}`), v(`[1,[2,3]]`), ""},
		{x(`{"minItems":1,"maxItems":2}`), v(`[1,2,3]`), "x maxItems"},
		{x(`{"items":{"properties":{"price":{"minimum":0}},"required":["price"]}}`), v(`[{"price":1},{"price":-1}]`), "x[].price minimum"},
		{x(`{"items":{"required":["price"]}}`), v(`[{"price":1},{"prize":1}]`), "x[].price required"},

		{`{"required":["a","b"]}`, `{"a":null,"b":0}`, ""},
		{`{"required":["a","b"]}`, `{"a":null}`, "b required"},
		{`{"required":["a"]}`, `{}`, "a required"},
		{`{"required":["b"],"properties":{"a":{"type":"string"},"c":{"type":"string"}}}`, `{"a":"","c":""}`, "b required"},
		{`{"properties":{"b":{"type":"string"}},"required":["a"]}`, `{"A":1,"a":2,"ab":3,"b":"x","c":4}`, ""},
		{`{"properties":{"a":true},"additionalProperties":false}`, `{"a":1}`, ""},
		{`{"properties":{"b":true},"additionalProperties":false}`, `{"a":1,"b":1}`, " additionalProperties"},
		{`{"required":["a"],"additionalProperties":false}`, `{"a":1}`, " additionalProperties"},
		{`{"properties":{"a":true},"additionalProperties":{"type":"number"}}`, `{"a":"","b":1}`, ""},
		{`{"properties":{"a":true},"additionalProperties":{"type":"number"}}`, `{"a":"","b":""}`, "* type"},
		{x(`{"properties":{"y":{"type":"string"}},"additionalProperties":false}`), v(`{"y":"","z":1}`), "x additionalProperties"},
		{x(`{"additionalProperties":{"type":"number"}}`), v(`{"y":""}`), "x.* type"},
		{`{"minProperties":1,"maxProperties":2}`, `{}`, " minProperties"},
		{`{"minProperties":1,"maxProperties":2}`, `{"a":1,"b":1,"c":1}`, " maxProperties"},
		{`{"maxProperties":1,"additionalProperties":{"type":"number"}}`, `{"$quarantined":"a: is required","b":1}`, ""},

		{`{"allOf":[{"required":["a"]},{"properties":{"a":{"type":"string"}}}]}`, `{"a":1}`, "a type"},
		{`{"anyOf":[{"required":["a"]},{"required":["b"]}]}`, `{"b":1}`, ""},
		{`{"anyOf":[{"required":["a"]},{"required":["b"]}]}`, `{"c":1}`, " anyOf"},
		{x(`{"oneOf":[{"minimum":2},{"maximum":4}]}`), v(`3`), "x oneOf"},
		{x(`{"oneOf":[{"minimum":2},{"maximum":4}]}`), v(`1`), ""},
		{x(`{"not":{"type":"string"}}`), v(`"a"`), "x not"},
		{x(`{"not":{"type":"string"}}`), v(`1`), ""},
		{x(`{"not":{"anyOf":[{"type":"string"},{"const":3}]}}`), v(`3.0`), "x not"},

		{`{"$defs":{"money":{"type":"number","minimum":0}},"properties":{"x":{"$ref":"#/$defs/money","description":"net"}}}`, v(`-1`), "x minimum"},
		{`{"$defs":{"a/b":{"$ref":"#/$defs/c"},"c":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a~1b"}}}`, v(`1`), "x type"},
		{`{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"t","properties":{"x":{"default":1,"examples":[2]}}}`, v(`1`), ""},
	} {
		s := must(t, test.schema)
		fault, ok := s.Check(properties(test.event))
		got := ""
		if !ok {
			d := s.Demands()[fault.Demand]
			got = d.Path + " " + d.Keyword
		}
		if got != test.want {
			t.Errorf("%s by %s: broken %q, want %q", test.event, test.schema, got, test.want)
		}
		if ok && (fault.Demand != none || fault.Raw != nil) {
			t.Errorf("%s by %s: valid, with fault %+v", test.event, test.schema, fault)
		}
	}
}

// TestRefused: schemas that are not known are refused, with the place.
func TestRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"items":`, 60) + "true" + strings.Repeat("}", 60)
	for src, want := range map[string]string{
		`{`:                                        "must be JSON: unexpected end of JSON input in line 1",
		"{\n\"a\":\n}":                             "in line 3",
		`[]`:                                       "must be a JSON object",
		`{"type":"array"}`:                         "/type must include object",
		`{"properties":{"x":{"typ":"string"}}}`:    "/properties/x/typ is not a keyword that is known here",
		`{"properties":{"a/b~":{"if":true}}}`:      "/properties/a~1b~0/if is not a keyword",
		`{"properties":{"x":3}}`:                   "/properties/x must be a schema",
		`{"properties":{"x":{"type":"text"}}}`:     "/properties/x/type must be object, array",
		`{"properties":{"x":{"enum":[]}}}`:         "/properties/x/enum must have 1 to 200 values",
		`{"properties":{"x":{"enum":[[1]]}}}`:      "/properties/x/enum must have texts",
		`{"properties":{"x":{"enum":"a"}}}`:        "/properties/x/enum must be a list",
		`{"properties":{"x":{"pattern":"(?=a)"}}}`: "/properties/x/pattern must be a regular expression as RE2",
		`{"properties":{"x":{"pattern":"(abcdefghijklmnopqrst){60}"}}}`:                    "/properties/x/pattern is too large",
		`{"properties":{"x":{"format":"hostname"}}}`:                                       "/properties/x/format must be one of date, date-time",
		`{"properties":{"x":{"minimum":"0"}}}`:                                             "/properties/x/minimum must be a number",
		`{"properties":{"x":{"minLength":-1}}}`:                                            "/properties/x/minLength must be a whole number",
		`{"properties":{"x":{"$ref":"https://example.com/s"}}}`:                            "/properties/x/$ref must refer to #/$defs",
		`{"properties":{"x":{"$ref":"#/$defs/y"}}}`:                                        "/properties/x/$ref refers to nothing",
		`{"properties":{"x":{"$ref":"#/$defs/y","minimum":1}},"$defs":{}}`:                 "/properties/x/minimum must not stand beside $ref",
		`{"properties":{"x":{"$ref":"#/$defs/y","$id":"https://a/b"}},"$defs":{"y":true}}`: "/properties/x/$id must be in the whole schema only",
		`{"properties":{"x":{"$ref":"#/$defs/y","$defs":{}}},"$defs":{"y":true}}`:          "/properties/x/$defs must be in the whole schema only",
		`{"$defs":{"y":{"$id":"https://a/b"}}}`:                                            "/$defs/y/$id must be in the whole schema only",
		`{"$defs":{"y":{"items":{"$ref":"#/$defs/y"}}}}`:                                   "nested too deeply",
		`{"$defs":{"y":{"minItems":true}}}`:                                                "/$defs/y/minItems must be",
		`{"required":"a"}`:                                                                 "/required must be a list of names",
		`{"anyOf":[]}`:                                                                     "/anyOf must be a list of 1 to 20",
		`{"anyOf":[{"x":1}]}`:                                                              "/anyOf/0/x is not a keyword",
		`{"$schema":"http://json-schema.org/draft-07/schema#"}`:                            "/$schema must be https://json-schema.org/draft/2020-12/schema",
		`{"properties":{"x":` + deep + `}}`:                                                "nested too deeply",
		`{"title":"` + strings.Repeat("x", MaxBytes) + `"}`:                                "must have at most 64 KiB",
		`{"$defs":{"a":{"items":{"properties":{` + strings.Repeat(`"x":true,`, 999) + `"y":true}}}},` + manyRefs(): "is one schema too many",
		`{"$defs":{"a":{"items":{"required":["` + strings.Repeat(`x","`, 900) + `y"]}}},` + manyRefs():             "required has too many names",
	} {
		s, p := Parse([]byte(src))
		if p == nil || !strings.Contains(p.Error(), want) {
			t.Errorf("%.200s: got %v, %v; want %q", src, s != nil, p, want)
		}
	}
}

// manyRefs returns the end of a schema that is small, and large once its $refs
// are replaced.
func manyRefs() string {
	var b strings.Builder
	b.WriteString(`"properties":{"z":true`)
	for i := range 600 {
		b.WriteString(`,"p` + strings.Repeat("q", i) + `":{"$ref":"#/$defs/a"}`)
		if b.Len() > MaxBytes/2 {
			break
		}
	}
	return b.String() + "}}"
}

// TestBoundedWork: an event cannot cost more than its size permits, whatever
// the schema is.
func TestBoundedWork(t *testing.T) {
	t.Parallel()
	var variants []string
	for range maxVariants {
		variants = append(variants, `{"items":{"pattern":"(x+x+)+y(a{9}){9}"}}`)
	}
	s := must(t, `{"properties":{"x":{"oneOf":[`+strings.Join(variants, ",")+`]}}}`)
	fault, ok := s.Check(properties(`{"x":["` + strings.Repeat("x", 100_000) + `"]}`))
	if ok || s.Demands()[fault.Demand].Keyword != "size" {
		t.Errorf("got %+v, %v", fault, ok)
	}
	var values, members []string
	for i := range maxEnum {
		values = append(values, strconv.Itoa(i)+"e1")
		members = append(members, fmt.Sprintf(`"m%d":{"type":"string"}`, i))
	}
	for name, hard := range map[string]struct{ items, element string }{
		"a long enum":  {`{"enum":[` + strings.Join(values, ",") + `]}`, "1990"},
		"many members": {`{"properties":{` + strings.Join(members, ",") + `}}`, "{}"},
	} {
		s := must(t, `{"properties":{"x":{"items":`+hard.items+`}}}`)
		fault, ok := s.Check(properties(`{"x":[` + strings.Repeat(hard.element+",", 30_000) + hard.element + `]}`))
		if ok || s.Demands()[fault.Demand].Keyword != "size" {
			t.Errorf("%s: got %d, %v", name, fault.Demand, ok)
		}
	}
	wide := must(t, `{"properties":{"x":{"items":{"type":"number"}}}}`)
	if _, ok := wide.Check(properties(`{"x":[` + strings.Repeat("1,", 100_000) + `1]}`)); !ok {
		t.Error("a large event that is looked at once takes too much work")
	}
}

const purchase = `{"type":"object","required":["currency","price","product_id","quantity"],"properties":{
	"brand":{"type":"string","maxLength":80},"category":{"type":"string"},"coupon":{"type":["string","null"]},
	"currency":{"enum":["EUR","USD","CZK"]},"discount":{"type":"number","minimum":0,"maximum":100},"in_stock":{"type":"boolean"},
	"price":{"type":"number","minimum":0},"product_id":{"type":"string","minLength":1,"maxLength":64},"quantity":{"type":"integer","minimum":1},
	"title":{"type":"string","minLength":1}}}`

const bought = `{"brand":"Acme","category":"Shoes/Women","coupon":null,"currency":"EUR","discount":12.5,"in_stock":true,
	"price":129.9,"product_id":"p-1234567","quantity":2,"title":"Running shoe, blue, 42"}`

// TestAllocations: a valid event costs no heap memory.
func TestAllocations(t *testing.T) {
	s, event := must(t, purchase), properties(bought)
	nested := must(t, `{"properties":{"items":{"type":"array","items":{"required":["id"],"properties":{"id":{"type":"string"}}}}}}`)
	cart := properties(`{"items":[{"id":"a","n":1},{"id":"b","n":2}]}`)
	got := allocs.PerRun(100, func() {
		if _, ok := s.Check(event); !ok {
			t.Fatal("it is not valid")
		}
		if _, ok := nested.Check(cart); !ok {
			t.Fatal("it is not valid")
		}
	})
	if got > 0 {
		t.Errorf("%g allocations", got)
	}
}

func BenchmarkCheck(b *testing.B) {
	s, event := must(b, purchase), properties(bought)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Check(event); !ok {
			b.Fatal("it is not valid")
		}
	}
}

// FuzzParse: any text is a schema or is refused, and any event is checked by
// it, twice with the same result, with the mark of a quarantine or without it.
func FuzzParse(f *testing.F) {
	f.Add(purchase, bought)
	f.Add(`{"anyOf":[{"required":["a"]},{"not":{"items":{"$ref":"#/$defs/x"}}}],"$defs":{"x":{"pattern":"^a+$","minLength":1}}}`, `{"b":["aaa",1e300,"\u0000"]}`)
	f.Fuzz(func(t *testing.T, src, event string) {
		s, p := Parse([]byte(src))
		if p != nil {
			if p.Msg == "" {
				t.Error("a problem without words")
			}
			return
		}
		again, p := Parse(s.Canonical())
		if p != nil || len(again.Demands()) != len(s.Demands()) {
			t.Fatalf("the canonical form of a schema is another: %v", p)
		}
		d := canonjson.Decode([]byte(event))
		decoded, problem := d.Properties()
		d.End()
		if problem.Fault != canonjson.None || d.Bad() {
			return
		}
		fault, ok := s.Check(decoded)
		if ok != (fault.Demand == none) || !ok && fault.Demand >= len(s.Demands()) {
			t.Fatalf("got %+v, %v", fault, ok)
		}
		marked := decoded[:0:0]
		for _, one := range decoded {
			if one.Name != trackway.Quarantined {
				marked = append(marked, one)
			}
		}
		if second, also := again.Check(marked); also != ok || second.Demand != fault.Demand {
			if fault.Demand != tooMuch && second.Demand != tooMuch { // the mark gives work
				t.Errorf("first %+v, %v, then %+v, %v", fault, ok, second, also)
			}
		}
	})
}

// TestPlainURLs: the quick look at a URL takes usual ones, and nothing that the
// closer look refuses.
func TestPlainURLs(t *testing.T) {
	t.Parallel()
	for _, usual := range []string{"https://shop.example/p/001234?utm_source=newsletter&utm_campaign=autumn", "http://a", "https://www.example.org/search#x"} {
		if !isPlainURL(usual) {
			t.Errorf("%s needs a closer look", usual)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"https://", "http://", "://", "a", "Z", "9", ".", "-", "_", ":", "/", "?", "#", "[", "]", "@", "%41", "%", "%zz", " ", "\x00", "\x7f", "é", "{", "&", "="}
	plainOnes := 0
	for range 100_000 {
		some := []string{parts[random.IntN(2)]}
		for range random.IntN(6) {
			some = append(some, parts[random.IntN(len(parts))])
		}
		s := strings.Join(some, "")
		if isPlainURL(s) {
			plainOnes++
			if !isURIAtAll(s) {
				t.Fatalf("%q", s)
			}
		}
	}
	if plainOnes < 1000 {
		t.Errorf("only %d were plain", plainOnes)
	}
}

func BenchmarkURI(b *testing.B) {
	const usual = "https://shop.example/p/001234?utm_source=newsletter&utm_campaign=autumn"
	for name, is := range map[string]func(string) bool{"quick": isURI, "closer": isURIAtAll} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = is(usual)
			}
		})
	}
}
