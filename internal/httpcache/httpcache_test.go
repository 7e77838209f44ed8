package httpcache

import "testing"

func TestMatches(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `"b", "a"`: true, `"b",W/"a"`: true, `*, "a"`: true,
		`*`: false, `"b"`: false, `a`: false, ``: false, `"a`: false, `"aa"`: false,
	} {
		if got := Matches([]string{list}, `"a"`); got != want {
			t.Errorf("%s: got %v", list, got)
		}
	}
	if !Matches([]string{`"b"`, `"a"`}, `"a"`) || Matches(nil, `"a"`) {
		t.Error("several fields, or none")
	}
	if !Any([]string{`"b"`, ` * `}) || !Any([]string{`"b",*`}) || Any([]string{`"*"`, `W/*`}) || Any(nil) {
		t.Error("Any")
	}
}
