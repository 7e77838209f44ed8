package cell

import (
	"testing"

	"pgregory.net/rapid"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "jane": "jane", "a=b": "a=b", "'": "'", "'tis": "'tis", "7": "7", "é": "é",
		"=1+1": "'=1+1", "+49 30": "'+49 30", "-": "'-", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "'=1": "''=1",
	} {
		if got := Guard(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestUnguardIsTheInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`'*[=+@a-]?.?`)).Draw(t, "text")
		guarded := Guard(text)
		if got := Unguard(guarded); got != text {
			t.Fatalf("%q became %q and then %q", text, guarded, got)
		}
	})
}
