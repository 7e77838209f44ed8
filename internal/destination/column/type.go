// Package column copies properties of events into typed columns, for all kinds
// of destinations that have columns. The columns that the configuration
// declares form a [Set]. It converts the properties of an event into one
// [Value] for each column. A value that does not fit its type leaves the column
// NULL, and [Misfits] counts it.
//
// A conversion is either exact or does not happen, with two exceptions that
// follow from the types: a double is the nearest one, and a date is the day of
// a time in UTC.
//
// The package knows no database. Each kind writes values in its own way, and
// may refuse those that its types cannot hold ([Set.Holds]).
package column

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"trackway/internal/canonjson"
	"trackway/internal/iso8601"
)

// Kind is a kind of type.
type Kind uint8

// The kinds. The zero value is NULL, which is not a type.
const (
	Null      Kind = iota
	Text           // any value: a string's content, other values as JSON
	BigInt         // integers of 64 bits with a sign
	Double         // IEEE 754, 64 bits
	Boolean        // true or false
	Timestamp      // a time in UTC, to the microsecond
	Date           // a day
	Decimal        // an exact decimal with a precision and a scale
)

// MaxPrecision is the maximum number of digits of a decimal, which Parquet's
// readers, ClickHouse and PostgreSQL all support.
const MaxPrecision = 38

// names are the spellings in the configuration, by kind.
var names = [...]string{Text: "text", BigInt: "bigint", Double: "double", Boolean: "boolean", Timestamp: "timestamp", Date: "date", Decimal: "decimal"}

// Type is the type of a column.
type Type struct {
	Kind      Kind
	Precision int // of a decimal: its digits, from 1 to MaxPrecision
	Scale     int // of a decimal: its digits after the point, from 0 to Precision
}

// errType lists the types.
var errType = errors.New("a type must be text, bigint, double, boolean, timestamp, date or decimal(p,s)")

// ParseType reads a type as the configuration spells it: text, bigint, double,
// boolean, timestamp, date, or decimal(p,s); decimal(p) means decimal(p,0).
// Letter case does not matter, nor does space inside the parentheses.
func ParseType(as string) (Type, error) {
	as = strings.ToLower(strings.TrimSpace(as))
	name, size, sized := strings.Cut(as, "(")
	for kind, known := range names {
		if name != known || known == "" {
			continue
		}
		switch {
		case Kind(kind) == Decimal:
			return parseDecimal(size)
		case sized:
			return Type{}, errType
		}
		return Type{Kind: Kind(kind)}, nil
	}
	return Type{}, errType
}

// parseDecimal reads the part of a decimal after the opening parenthesis.
func parseDecimal(size string) (Type, error) {
	size, closed := strings.CutSuffix(size, ")")
	first, second, both := strings.Cut(size, ",")
	precision, err := strconv.Atoi(strings.TrimSpace(first))
	scale, err2 := 0, error(nil)
	if both {
		scale, err2 = strconv.Atoi(strings.TrimSpace(second))
	}
	if !closed {
		return Type{}, errors.New(`a decimal in braces must be in quotes, as in {as: "decimal(12,2)"}`)
	}
	if err != nil || err2 != nil || precision < 1 || precision > MaxPrecision || scale < 0 || scale > precision {
		return Type{}, fmt.Errorf("a decimal must be decimal(p,s) with p digits in all, from 1 to %d, and s of them after the point, from 0 to p", MaxPrecision)
	}
	return Type{Kind: Decimal, Precision: precision, Scale: scale}, nil
}

// String returns the type in the form that [ParseType] reads.
func (t Type) String() string {
	if t.Kind == Decimal {
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	}
	return names[t.Kind]
}

// Value is a value of a column. The zero value is NULL.
type Value struct {
	Kind Kind

	// Text is the content of a Text, which may contain U+0000. For a Decimal,
	// it is the plain digits, with exactly Scale of them after the point.
	Text string

	// Int is the number of a BigInt, 0 or 1 of a Boolean, the microseconds
	// since the Unix epoch of a Timestamp, or the days since then of a Date.
	Int int64

	Double float64 // of a Double: the number, which is finite
}

// Unscaled returns a decimal without its point: 1250 for 12.50.
//
// REQUIRES: the kind is Decimal.
func (v Value) Unscaled() *big.Int {
	n, ok := new(big.Int).SetString(strings.Replace(v.Text, ".", "", 1), 10)
	if !ok {
		panic("bug: a decimal with characters other than digits")
	}
	return n
}

// Convert returns a property's value, a JSON value, as a value of the type. It
// reports false if the value does not fit or is not valid JSON. JSON's null is
// NULL and fits each type. Text of the result may be a part of raw.
//
//   - text: a string's content. Any other value becomes its JSON text.
//   - bigint, double, decimal: a number of any spelling (1e3 is an integer), or
//     a string that contains nothing but a JSON number. Integers and decimals
//     must fit exactly. A double is the nearest one and must be finite.
//   - boolean: true or false, or a string of this word.
//   - timestamp: a string with a time in ISO 8601, as [iso8601.Parse] reads it.
//     A number does not fit, since it may be of seconds or milliseconds.
//   - date: a string as for timestamp. The date is the time's day in UTC.
func (t Type) Convert(raw []byte) (v Value, fits bool) {
	s := canonjson.Scan(raw)
	in := s.Value()
	switch s.End(); {
	case s.Bad():
		return Value{}, false
	case in.Kind == canonjson.Null:
		return Value{}, true
	case t.Kind == Text && in.Kind == canonjson.String:
		return Value{Kind: Text, Text: in.Text()}, true
	case t.Kind == Text:
		return Value{Kind: Text, Text: string(in.Raw)}, true
	case t.Kind == Timestamp || t.Kind == Date:
		return t.time(in)
	}
	if in.Kind == canonjson.String { // if it contains exactly one scalar, that counts
		s = canonjson.Scan([]byte(in.Text()))
		in = s.Value()
		if s.End(); s.Bad() {
			return Value{}, false
		}
	}
	switch {
	case t.Kind == Boolean && in.Kind == canonjson.True:
		return Value{Kind: Boolean, Int: 1}, true
	case t.Kind == Boolean && in.Kind == canonjson.False:
		return Value{Kind: Boolean}, true
	case t.Kind == Boolean || in.Kind != canonjson.Number:
		return Value{}, false
	case t.Kind == Double:
		f, err := strconv.ParseFloat(string(in.Raw), 64)
		return Value{Kind: Double, Double: f}, err == nil
	case t.Kind == BigInt:
		return bigInt(in.Raw)
	}
	return t.decimal(in.Raw)
}

// time converts a string into a timestamp or date.
func (t Type) time(in canonjson.Value) (Value, bool) {
	if in.Kind != canonjson.String {
		return Value{}, false
	}
	at, ok := iso8601.Parse(in.Text())
	if !ok || t.Kind == Timestamp {
		return Value{Kind: Timestamp, Int: int64(at)}, ok
	}
	const day = 24 * 60 * 60 * 1_000_000
	days := int64(at) / day
	if int64(at)%day < 0 {
		days-- // before 1970
	}
	return Value{Kind: Date, Int: days}, true
}

func bigInt(number []byte) (Value, bool) {
	plain, ok := canonjson.PlainDecimal(number, len(strconv.Itoa(math.MaxInt64)))
	if !ok {
		return Value{}, false
	}
	n, err := strconv.ParseInt(plain, 10, 64)
	return Value{Kind: BigInt, Int: n}, err == nil
}

// decimal converts a number into a decimal with exactly this scale.
func (t Type) decimal(number []byte) (Value, bool) {
	// One digit more than the precision: a zero before the point.
	plain, ok := canonjson.PlainDecimal(number, t.Precision+1)
	if !ok {
		return Value{}, false
	}
	digits, negative := strings.CutPrefix(plain, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(strings.TrimLeft(whole, "0")) > t.Precision-t.Scale || len(fraction) > t.Scale {
		return Value{}, false
	}
	var b strings.Builder
	b.Grow(len(plain) + t.Scale + 1)
	if negative {
		b.WriteByte('-')
	}
	b.WriteString(whole)
	if t.Scale > 0 {
		b.WriteByte('.')
		b.WriteString(fraction)
		for range t.Scale - len(fraction) {
			b.WriteByte('0')
		}
	}
	return Value{Kind: Decimal, Text: b.String()}, true
}
