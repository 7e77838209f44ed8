package canonjson

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestCompareNumbers compares numbers as exact fractions do.
func TestCompareNumbers(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if rapid.Bool().Draw(t, "same") {
			b = a + "e0"
			if !valid(b) {
				b = a
			}
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if got, want := CompareNumbers([]byte(a), []byte(b)), x.Cmp(y); got != want {
			t.Errorf("%s and %s: got %d, want %d", a, b, got, want)
		}
		if got, want := IsInteger([]byte(a)), x.IsInt(); got != want {
			t.Errorf("%s: integer %v, want %v", a, got, want)
		}
	})
}

func valid(number string) bool {
	s := Scan([]byte(number))
	s.Value()
	s.End()
	return !s.Bad()
}
