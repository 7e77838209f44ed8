package canonjson

import (
	"fmt"
	"strings"
	"testing"
)

// TestPropertiesAfterOthers: a decoder begins with the order of the object
// before. The result is that of a new decoder, whatever came before.
func TestPropertiesAfterOthers(t *testing.T) {
	t.Parallel()
	objects := []string{
		`{"c":1,"a":2,"b":3}`, `{"c":1,"a":2,"b":3}`, // the same order
		`{"b":1,"c":2,"a":3}`,                        // another order
		`{"a":1,"c":2,"b":3}`, `{"x":1,"z":2,"y":3}`, // other names in the same order
		`{"b":1,"a":2,"b":3}`, `{"b":1,"a":2,"b":3}`, // a name twice
		`{"c":1,"a":2,"b":3,"d":4}`, `{"b":1,"a":2}`, // another number
		`{"a":1,"b":2,"c":3}`, `{}`, // in order
		`{"same beginning c":1,"same beginning a":2,"same beginning b":3}`, `{"same beginning b":1,"same beginning a":2,"same beginning b":3}`,
		`{"same beginning c":1,"same beginning a":2,"same beginning b":3}`, `{"same beginning a":1,"same beginning a":2,"same beginning b":3}`,
	}
	many := make([]string, Usual+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"%c":%d`, 'z'-i, i)
	}
	objects = append(objects, "{"+strings.Join(many, ",")+"}", "{"+strings.Join(many[1:], ",")+"}", objects[0])
	d := Decode([]byte("[" + strings.Join(objects, ",") + "]"))
	for i := range d.Elements {
		got, problem := d.Properties()
		alone := Decode([]byte(objects[i]))
		want, _ := alone.Properties()
		if got, want := string(AppendObject(nil, got)), string(AppendObject(nil, want)); got != want || problem != (Problem{}) {
			t.Errorf("%s: got %s, %v, want %s", objects[i], got, problem, want)
		}
	}
	if d.End(); d.Bad() {
		t.Error("not read to the end")
	}
}

// TestAppendStringSeesSpecialBytesEverywhere: each byte is written as it is
// alone, wherever it stands.
func TestAppendStringSeesSpecialBytesEverywhere(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		alone := string(AppendString(nil, string([]byte{byte(c)})))
		alone = alone[1 : len(alone)-1]
		for before := range 18 {
			for _, after := range []int{0, 1, 9} {
				s := strings.Repeat("x", before) + string([]byte{byte(c)}) + strings.Repeat("y", after)
				want := `"` + strings.Repeat("x", before) + alone + strings.Repeat("y", after) + `"`
				if got := string(AppendString(nil, s)); got != want {
					t.Errorf("%q: got %s, want %s", s, got, want)
				}
			}
		}
	}
}
