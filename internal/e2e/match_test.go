package e2e

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

// match compares a JSON value with one that may contain the matchers of
// shared/conformance/README.md. It returns where and how they differ, or an
// empty text.
func match(want, got any, at string) string {
	switch w := want.(type) {
	case string:
		return matchString(w, got, at)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return differ(at, want, got)
		}
		return matchObject(w, g, at)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return differ(at, want, got)
		}
		for i := range w {
			if d := match(w[i], g[i], fmt.Sprintf("%s[%d]", at, i)); d != "" {
				return d
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return differ(at, want, got)
	}
	return ""
}

func matchString(want string, got any, at string) string {
	var ok bool
	switch want {
	case "<any>":
		ok = true
	case "<number>":
		_, ok = got.(float64)
	case "<string>":
		s, is := got.(string)
		ok = is && s != ""
	default:
		ok = got == want
	}
	if !ok {
		return differ(at, want, got)
	}
	return ""
}

func matchObject(want, got map[string]any, at string) string {
	open := want["..."] == true
	for name, w := range want {
		if name == "..." && open {
			continue
		}
		g, ok := got[name]
		if !ok {
			return differ(at+"."+name, w, "nothing")
		}
		if d := match(w, g, at+"."+name); d != "" {
			return d
		}
	}
	for name, g := range got {
		if _, ok := want[name]; !ok && !open {
			return differ(at+"."+name, "nothing", g)
		}
	}
	return ""
}

func differ(at string, want, got any) string {
	return fmt.Sprintf("at %s: got %#v, want %#v", at, got, want)
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{`{"a": 1, "b": [true, null]}`, `{"b": [true, null], "a": 1.0}`, true},
		{`{"a": 1}`, `{"a": 2}`, false},
		{`{"a": 1}`, `{}`, false},
		{`{"a": 1}`, `{"a": 1, "b": 1}`, false},
		{`{"a": 1, "...": true}`, `{"a": 1, "b": 1}`, true},
		{`{"a": 1, "...": true}`, `{"b": 1}`, false},
		{`{"a": 1}`, `[1]`, false},
		{`[1, 2]`, `[1]`, false},
		{`[1, 2]`, `[2, 1]`, false},
		{`"<number>"`, `1.5`, true},
		{`"<number>"`, `"1.5"`, false},
		{`"<string>"`, `"x"`, true},
		{`"<string>"`, `""`, false},
		{`"<string>"`, `1`, false},
		{`["<any>"]`, `[null]`, true},
		{`["<any>"]`, `[]`, false},
		{`"x"`, `"y"`, false},
		{`null`, `false`, false},
	} {
		var want, got any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.got), &got); err != nil {
			t.Fatal(err)
		}
		if d := match(want, got, "$"); (d == "") != c.same {
			t.Errorf("%s and %s: got %q, want the same: %v", c.want, c.got, d, c.same)
		}
	}
}
