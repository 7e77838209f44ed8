package cell

import (
	"testing"

	"pgregory.net/rapid"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "jane": "jane", "a=b": "a=b", "'": "'", "'tis": "'tis", "7": "7", "é": "é",
		"=1+1": "'=1+1", "-": "'-", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "'=1": "''=1",
		"+421900123451": "+421900123451", "-7": "-7", "-7.50": "-7.50", "+49 30 1234": "+49 30 1234", "'+49": "''+49",
		"+": "'+", "-7.": "'-7.", "+.5": "'+.5", "-1-2": "'-1-2", "+1/2": "'+1/2", "+1+cmd|' /C calc'!A0": "'+1+cmd|' /C calc'!A0",
		"+49  30": "'+49  30", "+49 ": "'+49 ", "- 7": "'- 7", "--7": "'--7", "-1.2.3": "'-1.2.3", "-1e5": "'-1e5", "+4٣": "'+4٣", "-1\n=2": "'-1\n=2",
	} {
		if got := Guard(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestUnguardIsTheInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`'*[=+@a-]?([0-9]{0,2}[. ]?){0,2}.?`)).Draw(t, "text")
		guarded := Guard(text)
		if got := Unguard(guarded); got != text {
			t.Fatalf("%q became %q and then %q", text, guarded, got)
		}
	})
}
