package otlp

import (
	"math"
	"slices"
	"strconv"

	"trackway/internal/canonjson"
)

// The names that a scope's name and version have among its attributes.
const (
	scopeName    = "name"
	scopeVersion = "version"
)

// writer writes one value as JSON in canonical form.
type writer struct {
	dst     []byte
	fault   string // what was expected of the value
	objects bool   // it has objects with several members, which may be out of order
}

// done returns the written value, which begins at start, with the members of
// objects in order. A value with a fault is null.
func (w *writer) done(start int) []byte {
	switch {
	case w.fault != "":
		return append(w.dst[:start], "null"...)
	case w.objects:
		sorted := canonjson.AppendCanonical(make([]byte, 0, len(w.dst)-start), w.dst[start:])
		return append(w.dst[:start], sorted...)
	}
	return w.dst
}

func (w *writer) fail(expected string) {
	w.fault = expected
	w.null() // what is around it stays JSON
}

func (w *writer) null() { w.dst = append(w.dst, "null"...) }

func (w *writer) boolean(b bool) { w.dst = strconv.AppendBool(w.dst, b) }

func (w *writer) integer(i int64) { w.dst = strconv.AppendInt(w.dst, i, 10) }

// text writes a string. It makes enough room at once for all escapes, since
// growing step by step takes several times as much.
func (w *writer) text(s []byte) {
	n := len(s) + len(`""`)
	for _, c := range s {
		switch {
		case c < ' ':
			n += len(`\u0001`) - 1
		case c == '"', c == '\\', c >= 0x80: // the last may become U+FFFD
			n += 2
		}
	}
	w.dst = canonjson.AppendString(slices.Grow(w.dst, n), textIn(s))
}

// double writes a number as ECMAScript does: without an exponent if it is
// neither very large nor very small.
func (w *writer) double(f float64) {
	switch abs := math.Abs(f); {
	case math.IsNaN(f), math.IsInf(f, 0):
		w.fail("a finite number")
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		w.dst = strconv.AppendFloat(w.dst, f, 'e', -1, 64)
	default:
		w.dst = strconv.AppendFloat(w.dst, f, 'f', -1, 64)
	}
}

// open begins an array or object, unless it is too deep.
func (w *writer) open(object bool, depth int) bool {
	if depth >= canonjson.MaxDepth {
		w.fail("at most " + strconv.Itoa(canonjson.MaxDepth) + " levels of arrays and objects")
		return false
	}
	if object {
		w.dst = append(w.dst, '{')
	} else {
		w.dst = append(w.dst, '[')
	}
	return true
}

// element begins element n of an array.
func (w *writer) element(n int) {
	if n > 0 {
		w.dst = append(w.dst, ',')
	}
}

// member begins member n of an object.
func (w *writer) member(n int, key string) {
	w.element(n)
	w.counted(n)
	w.dst = append(canonjson.AppendString(w.dst, key), ':')
}

// counted notes that an object has a member n.
func (w *writer) counted(n int) {
	w.objects = w.objects || n > 0
	if n == canonjson.MaxMembers {
		w.fault = "at most " + strconv.Itoa(canonjson.MaxMembers) + " members in an object"
	}
}

func (w *writer) close(object bool) {
	if object {
		w.dst = append(w.dst, '}')
	} else {
		w.dst = append(w.dst, ']')
	}
}
