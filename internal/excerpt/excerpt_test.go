package excerpt

import "testing"

func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"", 3, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc…"},
		{"aéé", 3, "aé…"},
		{"aéé", 4, "aé…"},
		{"😀😀", 5, "😀…"},
		{"😀😀", 3, "…"},
		{"\x80\x80\x80\x80\x80\x80\x80", 6, "\x80\x80…"}, // not text: it may be cut anywhere
		{"abc", 0, "…"},
	} {
		if got := Of(c.text, c.most); got != c.want {
			t.Errorf("%q in %d bytes: got %q, want %q", c.text, c.most, got, c.want)
		}
	}
}
