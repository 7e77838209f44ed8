package canonjson

import (
	"math"
	"strconv"
	"strings"
)

// decimal is a JSON number taken apart, exactly and whatever its size: the
// digits of its mantissa, perhaps with a point among them, and how many of
// these digits stand before the point once the exponent is applied (fewer than
// none, or more than there are, with large exponents).
type decimal struct {
	negative bool
	mantissa string
	point    int
}

// farthest bounds exponents, so that sums of them and lengths of texts cannot
// overflow. A number with a larger one is as far beyond all bounds, or as close
// to zero, as one with this.
const farthest = 100_000_000

// faultOf returns which bound a valid JSON number is beyond; mantissa is what
// stands before its exponent. Readers hold numbers as doubles, as decimals with
// an exponent, or written out: none of them may fail on what was stored.
func faultOf(mantissa, number []byte) Fault {
	digits := len(mantissa)
	for _, c := range mantissa {
		if !isDigit(c) {
			digits-- // the sign, the point
		}
	}
	switch {
	case digits > MaxDigits:
		return TooLong
	case len(mantissa) == len(number):
		return None
	}
	if e := exponentOf(text(number[len(mantissa)+1:], true)); e < -MaxExponent || e > MaxExponent {
		return OutOfDouble
	}
	if _, err := strconv.ParseFloat(text(number, true), 64); err != nil {
		return OutOfDouble
	}
	return None
}

// decimalOf takes a valid JSON number apart.
func decimalOf(number string) decimal {
	mantissa, negative := strings.CutPrefix(number, "-")
	exponent := 0
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		exponent = exponentOf(mantissa[i+1:])
		mantissa = mantissa[:i]
	}
	whole := strings.IndexByte(mantissa, '.')
	if whole < 0 {
		whole = len(mantissa)
	}
	return decimal{negative: negative, mantissa: mantissa, point: whole + exponent}
}

// exponentOf returns the value of digits with an optional sign.
func exponentOf(s string) int {
	s, negative := strings.CutPrefix(s, "-")
	n := 0
	for _, c := range strings.TrimPrefix(s, "+") {
		n = min(n*10+int(c-'0'), farthest)
	}
	if negative {
		return -n
	}
	return n
}

// Millionths returns a valid JSON number times a million, rounded to the
// nearest integer, halves away from zero; false if that is more than about
// 9e17, which as microseconds is far beyond any time that is accepted.
func Millionths(number []byte) (int64, bool) {
	d := decimalOf(text(number, true))
	const unit = -6 // the power of ten of the last digit that counts
	var n int64
	power := d.point
	for i := 0; i < len(d.mantissa) && power > unit-1; i++ {
		if d.mantissa[i] == '.' {
			continue
		}
		digit := int64(d.mantissa[i] - '0')
		power--
		if power < unit {
			n += digit / 5 // the first digit that is cut off decides
			break
		}
		if n = n*10 + digit; n > math.MaxInt64/100 {
			return 0, false
		}
	}
	for ; power > unit && n != 0; power-- {
		if n *= 10; n > math.MaxInt64/100 {
			return 0, false
		}
	}
	if d.negative {
		n = -n
	}
	return n, true
}

// PlainDecimal spells a valid JSON number without exponent and without needless
// zeros: 1000 for 1e3, 1.5 for 1.50, 0 for -0. An integer is returned as it was
// sent, without a copy. It reports false if there would be more than limit
// digits.
func PlainDecimal(raw []byte, limit int) (string, bool) {
	number := text(raw, true)
	if !strings.ContainsAny(number, ".eE") && number != "-0" {
		return number, len(strings.TrimPrefix(number, "-")) <= limit
	}
	d := decimalOf(number)
	digits := strings.Replace(d.mantissa, ".", "", 1)
	significant := strings.TrimLeft(digits, "0")
	point := d.point - (len(digits) - len(significant))
	significant = strings.TrimRight(significant, "0")
	if significant == "" {
		return "0", true
	}
	if point > limit || len(significant)-min(point, 0) > limit {
		return "", false
	}
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch {
	case point <= 0:
		return sign + "0." + strings.Repeat("0", -point) + significant, true
	case point >= len(significant):
		return sign + significant + strings.Repeat("0", point-len(significant)), true
	default:
		return sign + significant[:point] + "." + significant[point:], true
	}
}
