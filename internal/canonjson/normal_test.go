package canonjson

import (
	"strings"
	"testing"
)

func TestNormal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`1`:                            `1`,
		`1.0`:                          `1`,
		`10e-1`:                        `1`,
		`-0.0`:                         `0`,
		`0e5`:                          `0`,
		`1.50`:                         `15e-1`,
		`1E3`:                          `1e3`,
		`1000`:                         `1e3`,
		`1` + strings.Repeat("0", 300): `1e300`,
		`-0.00120`:                     `-12e-4`,
		`"\u0041\/\u0000"`:             `"A/\u0000"`,
		`[1, "1", null, true, {}, []]`: `[1,"1",null,true,{},[]]`,
		`{"b": 1, "a": {"d": 2.0, "c": [0.10]}, "": null}`: `{"":null,"a":{"c":[1e-1],"d":2},"b":1}`,
		`{"bb": 1, "a": 2, "bb": 3}`:                       `{"a":2,"bb":3}`,
		`{"a":1,"b":{"c":2}}`:                              `{"a":1,"b":{"c":2}}`,
	} {
		got := string(AppendNormal([]byte("x"), []byte(in)))
		if got != "x"+want {
			t.Errorf("%s: got %s, want x%s", in, got, want)
		}
		if again := string(AppendNormal(nil, []byte(want))); again != want {
			t.Errorf("%s: the normal form of %s is %s", in, want, again)
		}
	}
}

func FuzzNormal(f *testing.F) {
	f.Add(`{"b":[1.50,-1e3],"a":"\u0041"}`)
	f.Fuzz(func(t *testing.T, in string) {
		s := Scan([]byte(in))
		if v := s.Value(); len(v.Raw) == 0 || s.fault != None {
			return
		}
		if s.End(); s.Bad() {
			return
		}
		normal := AppendNormal(nil, []byte(in))
		canonical := appendCanonical(nil, []byte(in))
		if got := AppendCanonical(nil, []byte(in)); string(got) != string(canonical) {
			t.Errorf("%q: got %s in canonical form, want %s", in, got, canonical)
		}
		if string(AppendNormal(nil, canonical)) != string(normal) {
			t.Errorf("%q: the normal form is %s, and that of its canonical form %s another", in, normal, canonical)
		}
		if again := AppendNormal(nil, normal); string(again) != string(normal) {
			t.Errorf("%q: the normal form of %s is %s", in, normal, again)
		}
	})
}
