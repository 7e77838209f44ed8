package column_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

func TestParseType(t *testing.T) {
	t.Parallel()
	for as, want := range map[string]string{
		"text": "text", "bigint": "bigint", "double": "double", "boolean": "boolean", "timestamp": "timestamp", "date": "date",
		" Text ": "text", "decimal(12,2)": "decimal(12,2)", "DECIMAL( 38 , 38 )": "decimal(38,38)", "decimal(5)": "decimal(5,0)",
		"": "", "int": "", "text(5)": "", "decimal": "", "decimal()": "", "decimal(0,0)": "", "decimal(39,2)": "", "decimal(2,3)": "",
		"decimal(4,-1)": "", "decimal(4,2": "", "decimal(4,)": "", "decimal(4,2,1)": "", "null": "",
	} {
		got, err := column.ParseType(as)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q: got %v, want an error", as, got)
		case want != "" && (err != nil || got.String() != want):
			t.Errorf("%q: got %v, %v, want %s", as, got, err, want)
		}
	}
}

// shown formats a value as the tests write it.
func shown(v column.Value) string {
	switch v.Kind {
	case column.Null:
		return "NULL"
	case column.Text:
		return "'" + v.Text + "'"
	case column.Double:
		return fmt.Sprint(v.Double)
	case column.Decimal:
		return v.Text
	default:
		return strconv.FormatInt(v.Int, 10)
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	const unfit = ""
	for _, c := range []struct{ as, raw, want string }{
		{"text", `"x"`, "'x'"},
		{"text", `"\u0000\"é"`, "'\x00\"é'"},
		{"text", `12.50`, "'12.50'"},
		{"text", `true`, "'true'"},
		{"text", `{"a":[1,"b"]}`, `'{"a":[1,"b"]}'`},
		{"text", `null`, "NULL"},
		{"bigint", `null`, "NULL"},
		{"bigint", `1`, "1"},
		{"bigint", `-0`, "0"},
		{"bigint", `1e3`, "1000"},
		{"bigint", `12.00`, "12"},
		{"bigint", `9223372036854775807`, "9223372036854775807"},
		{"bigint", `-9223372036854775808`, "-9223372036854775808"},
		{"bigint", `9223372036854775808`, unfit},
		{"bigint", `1e300`, unfit},
		{"bigint", `1.5`, unfit},
		{"bigint", `"17"`, "17"},
		{"bigint", `" 17"`, "17"},
		{"bigint", `"17x"`, unfit},
		{"bigint", `"0x11"`, unfit},
		{"bigint", `""`, unfit},
		{"bigint", `true`, unfit},
		{"bigint", `[1]`, unfit},
		{"bigint", `"[1]"`, unfit},
		{"bigint", `"null"`, unfit},
		{"double", `0.1`, "0.1"},
		{"double", `123456789012345678901234567890`, "1.2345678901234568e+29"},
		{"double", `1e308`, "1e+308"},
		{"double", `1e309`, unfit},
		{"double", `"NaN"`, unfit},
		{"double", `"Infinity"`, unfit},
		{"double", `"-1.5e2"`, "-150"},
		{"boolean", `true`, "1"},
		{"boolean", `false`, "0"},
		{"boolean", `"true"`, "1"},
		{"boolean", `"yes"`, unfit},
		{"boolean", `1`, unfit},
		{"timestamp", `"2018-08-05T12:20:25.5Z"`, "1533471625500000"},
		{"timestamp", `"2018-08-05"`, "1533427200000000"},
		{"timestamp", `"1969-12-31T23:59:59Z"`, "-1000000"},
		{"timestamp", `"2018-02-30"`, unfit},
		{"timestamp", `"infinity"`, unfit},
		{"timestamp", `1533471625`, unfit},
		{"timestamp", `{}`, unfit},
		{"date", `"1970-01-02"`, "1"},
		{"date", `"1969-12-31T23:00:00Z"`, "-1"},
		{"date", `"1970-01-01T23:00:00-05:00"`, "1"},
		{"date", `"soon"`, unfit},
		{"decimal(5,2)", `1`, "1.00"},
		{"decimal(5,2)", `-123.45`, "-123.45"},
		{"decimal(5,2)", `999.990`, "999.99"},
		{"decimal(5,2)", `1000`, unfit},
		{"decimal(5,2)", `0.001`, unfit},
		{"decimal(5,2)", `1e-2`, "0.01"},
		{"decimal(5,2)", `-0.0`, "0.00"},
		{"decimal(5,2)", `0`, "0.00"},
		{"decimal(5,2)", `"12.3"`, "12.30"},
		{"decimal(5,2)", `"12,3"`, unfit},
		{"decimal(5,0)", `12345`, "12345"},
		{"decimal(2,2)", `0.99`, "0.99"},
		{"decimal(2,2)", `1`, unfit},
		{"decimal(38,0)", strings.Repeat("9", 38), strings.Repeat("9", 38)},
		{"decimal(38,0)", strings.Repeat("9", 39), unfit},
		{"decimal(38,38)", "0." + strings.Repeat("9", 38), "0." + strings.Repeat("9", 38)},
		{"decimal(12,2)", `true`, unfit},
	} {
		as, err := column.ParseType(c.as)
		if err != nil {
			t.Fatal(err)
		}
		v, fits := as.Convert([]byte(c.raw))
		if fits != (c.want != unfit) || fits && shown(v) != c.want {
			t.Errorf("%s as %s: got %s, %t, want %q", c.raw, c.as, shown(v), fits, c.want)
		}
		if fits && v.Kind != column.Null && v.Kind != as.Kind {
			t.Errorf("%s as %s: got kind %d", c.raw, c.as, v.Kind)
		}
	}
}

func TestUnscaled(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"12.50": "1250", "-0.01": "-1", "7": "7", "0.00": "0"} {
		if got := (column.Value{Kind: column.Decimal, Text: text}).Unscaled().String(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// columns declares columns as "type property as [name]".
func columns(lines ...string) []config.Column {
	var declared []config.Column
	for _, line := range lines {
		f := strings.Fields(line)
		c := config.Column{Property: f[1], As: f[2], Name: f[1]}
		if f[0] != "*" {
			c.Type = f[0]
		}
		if len(f) > 3 {
			c.Name = f[3]
		}
		declared = append(declared, c)
	}
	return declared
}

func TestNewSetRefuses(t *testing.T) {
	t.Parallel()
	for want, declared := range map[string][]config.Column{
		"one of Trackway's own columns":                     columns("* Seq text"),
		"must be in quotes":                                 columns("* total decimal(12"),
		"a decimal must be decimal(p,s)":                    columns("* total decimal(40,2)"),
		`not "varchar"`:                                     columns("* total varchar"),
		"differ in case only":                               columns("* total text", "* Total text"),
		`column "total" is declared as text and as bigint`:  columns("* total text", "purchase sum bigint total"),
		`column "x" gets two properties of events "refund"`: columns("refund a text x", "refund b text x"),
		`column "x" gets two properties of all events`:      columns("* a text x", "* b text x"),
		"a property is missing":                             {{Name: "x", As: "text"}},
	} {
		if _, err := column.NewSet(declared); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	set, err := column.NewSet(columns("purchase total decimal(12,2)", "* page text", "view at_page text page", "refund total decimal(12,2)", "* flag boolean"))
	if err != nil {
		t.Fatal(err)
	}
	set.Holds = func(_ column.Column, v column.Value) bool { return !strings.Contains(v.Text, "\x00") }
	if diff := cmp.Diff([]string{"purchase", "refund", "view"}, set.Types()); diff != "" {
		t.Error(diff)
	}
	var misfits column.Misfits
	var room []column.Value
	for _, c := range []struct{ eventType, properties, want string }{
		{"purchase", `{"flag":true,"page":"p","total":1.5}`, "[1.50 'p' 1]"},
		{"purchase", `{"flag":1,"page":null,"total":"dear"}`, "[NULL NULL NULL]"},
		{"refund", `{"total":2}`, "[2.00 NULL NULL]"},
		{"view", `{"at_page":"v","page":"p"}`, "[NULL 'v' NULL]"},
		{"view", `{"at_page":"\u0000"}`, "[NULL NULL NULL]"},
		{"other", `{"at_page":"v","page":"p","total":1}`, "[NULL 'p' NULL]"},
		{"other", `{}`, "[NULL NULL NULL]"},
	} {
		room = set.Values(room, c.eventType, []byte(c.properties), &misfits)
		texts := make([]string, len(room))
		for i, v := range room {
			texts[i] = shown(v)
		}
		if got := "[" + strings.Join(texts, " ") + "]"; got != c.want {
			t.Errorf("%s of %s: got %s, want %s", c.properties, c.eventType, got, c.want)
		}
	}
	want := []destination.Misfit{{Type: "purchase", Property: "flag", Values: 1}, {Type: "purchase", Property: "total", Values: 1}, {Type: "view", Property: "at_page", Values: 1}}
	if diff := cmp.Diff(want, misfits.All()); diff != "" {
		t.Errorf("misfits (-want +got):\n%s", diff)
	}
	of := set.Of("view")
	if len(of) != 2 || of[0].Name != "page" || of[1].Name != "flag" {
		t.Errorf("columns of view: got %v", of)
	}
}

// TestFirstValueFixesNothing: a property has values of several types. Each
// value is converted on its own, whatever value came first.
func TestFirstValueFixesNothing(t *testing.T) {
	t.Parallel()
	set, err := column.NewSet(columns("* n double"))
	if err != nil {
		t.Fatal(err)
	}
	var misfits column.Misfits
	sum := 0.0
	for _, properties := range []string{`{"n":"many"}`, `{"n":1}`, `{"n":2.5}`, `{"n":"3"}`, `{"n":[4]}`} {
		sum += set.Values(nil, "t", []byte(properties), &misfits)[0].Double
	}
	if all := misfits.All(); sum != 6.5 || len(all) != 1 || all[0].Values != 2 {
		t.Errorf("got a sum of %v and misfits %v", sum, all)
	}
}

func TestMisfitsAreBounded(t *testing.T) {
	t.Parallel()
	var batch, total column.Misfits
	for i := range 3000 {
		batch.Count(fmt.Sprint("type ", i), "p")
	}
	total.Take(&batch)
	total.Take(&batch) // which is empty now
	var sum uint64
	for _, m := range total.All() {
		sum += m.Values
	}
	if n := len(total.All()); n > 1001 || sum != 3000 || len(batch.All()) != 0 {
		t.Errorf("got %d pairs with %d values, want at most 1001 with 3000", n, sum)
	}
}

// TestMisfitsKeepNoEvent reuses the memory of an event. The counts must not
// change.
func TestMisfitsKeepNoEvent(t *testing.T) {
	t.Parallel()
	set, err := column.NewSet(columns("* total bigint"))
	if err != nil {
		t.Fatal(err)
	}
	var misfits column.Misfits
	properties := []byte(`{"total":"much"}`)
	set.Values(nil, "purchase", properties, &misfits)
	clear(properties)
	want := []destination.Misfit{{Type: "purchase", Property: "total", Values: 1}}
	if diff := cmp.Diff(want, misfits.All()); diff != "" {
		t.Errorf("misfits (-want +got):\n%s", diff)
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(`-12.5e1`)
	f.Add(`"2018-08-05"`)
	types := make([]column.Type, 0, 8)
	for _, as := range []string{"text", "bigint", "double", "boolean", "timestamp", "date", "decimal(12,2)", "decimal(38,38)"} {
		t, err := column.ParseType(as)
		if err != nil {
			f.Fatal(err)
		}
		types = append(types, t)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, as := range types {
			v, fits := as.Convert([]byte(text))
			if fits && v.Kind == column.Double && (math.IsInf(v.Double, 0) || math.IsNaN(v.Double)) {
				t.Errorf("%q: got %v", text, v.Double)
			}
			if fits && v.Kind == column.Decimal && len(v.Unscaled().String()) > as.Precision+1 {
				t.Errorf("%q as %v: got %s", text, as, v.Text)
			}
		}
	})
}

func BenchmarkValues(b *testing.B) {
	set, err := column.NewSet(columns("purchase total decimal(12,2)", "* page text"))
	if err != nil {
		b.Fatal(err)
	}
	properties := []byte(`{"currency":"EUR","items":[{"sku":"a-1","n":2}],"page":"/checkout","total":129.95}`)
	var misfits column.Misfits
	var room []column.Value
	b.ReportAllocs()
	for b.Loop() {
		room = set.Values(room, "purchase", properties, &misfits)
	}
}
