package canonjson

import (
	"math"
	"strconv"
	"strings"
)

// decimal is a JSON number of any size, split exactly into its parts: the
// digits of its mantissa, which may include a point, and how many of these
// digits precede the point once the exponent is applied. With large exponents,
// that number may be negative, or greater than the number of digits.
type decimal struct {
	negative bool
	mantissa string
	point    int
}

// farthest bounds exponents, so that their sums and the lengths of texts cannot
// overflow. A larger exponent is equivalent: the number is beyond all bounds or
// as good as zero.
const farthest = 100_000_000

// faultOf returns the bound that a valid JSON number exceeds. mantissa is the
// part before its exponent. Readers hold numbers as doubles, as decimals with
// an exponent, or written out, and none of them may fail on a stored number.
func faultOf(mantissa, number []byte) Fault {
	digits := len(mantissa)
	for _, c := range mantissa {
		if !isDigit(c) {
			digits-- // the sign or the point
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

// decimalOf splits a valid JSON number into its parts.
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
// nearest integer, halves away from zero. It returns false if the result
// exceeds about 9e17, which as microseconds is far beyond any accepted time.
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
			n += digit / 5 // the first dropped digit decides
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
// zeros: 1000 for 1e3, 1.5 for 1.50, 0 for -0. It returns an integer as it was
// sent, without a copy. It reports false if the result would have more than
// limit digits.
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

// IsInteger reports whether a valid JSON number has no fraction: 1, 1.0 and
// 10e-1 have none.
func IsInteger(raw []byte) bool {
	number := text(raw, true)
	if !strings.ContainsAny(number, ".eE") {
		return true
	}
	d := decimalOf(number)
	at := 0 // of the digit
	for i := range len(d.mantissa) {
		if d.mantissa[i] == '.' {
			continue
		}
		if at >= d.point && d.mantissa[i] != '0' {
			return false
		}
		at++
	}
	return true
}

// CompareNumbers compares two valid JSON numbers by their exact values: it
// returns -1 if a is less than b, 0 if they are equal, and 1 otherwise.
func CompareNumbers(a, b []byte) int {
	x, y := decimalOf(text(a, true)), decimalOf(text(b, true))
	x.skipZeros()
	y.skipZeros()
	switch {
	case x.mantissa == "" && y.mantissa == "":
		return 0
	case x.mantissa == "":
		return order(!y.negative)
	case y.mantissa == "", x.negative != y.negative:
		return order(x.negative)
	case x.negative:
		return y.compareSize(x)
	}
	return x.compareSize(y)
}

// order returns -1 if a number is less than another one, and 1 if it is not.
func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

// skipZeros removes leading zeros, so that point says how large the number is.
// Of a zero, nothing is left.
func (d *decimal) skipZeros() {
	for d.mantissa != "" {
		switch d.mantissa[0] {
		case '0':
			d.point--
		case '.':
		default:
			return
		}
		d.mantissa = d.mantissa[1:]
	}
}

// compareSize compares two numbers without their signs. REQUIRES: both have no
// leading zeros, and are not zero.
func (d *decimal) compareSize(o decimal) int {
	if d.point != o.point {
		return order(d.point < o.point)
	}
	x, y := d.mantissa, o.mantissa
	for x != "" || y != "" {
		var a, b byte
		a, x = nextDigit(x)
		b, y = nextDigit(y)
		if a != b {
			return order(a < b)
		}
	}
	return 0
}

// nextDigit returns the first digit of a mantissa, or 0 behind its end, and
// the rest.
func nextDigit(mantissa string) (digit byte, rest string) {
	mantissa = strings.TrimPrefix(mantissa, ".")
	if mantissa == "" {
		return '0', ""
	}
	return mantissa[0], mantissa[1:]
}
