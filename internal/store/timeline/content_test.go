package timeline

import (
	"strings"
	"testing"

	"trackway/internal/siphash"
)

// TestUnmarked: the mark of a quarantine is no part of an event's content, but
// a value that looks like it is.
func TestUnmarked(t *testing.T) {
	t.Parallel()
	keyed := NewKey([siphash.KeyBytes]byte{1})
	for marked, plain := range map[string]string{
		`{"$quarantined":"price: is required"}`:         `{}`,
		`{"$a":1,"$quarantined":"x","b":2}`:             `{"$a":1,"b":2}`,
		`{"a":{"$quarantined":"x"}}`:                    `{"a":{"$quarantined":"x"}}`,
		`{"$quarantined":"x","a":{"$quarantined":"y"}}`: `{"a":{"$quarantined":"y"}}`,
		`{"a":"\"$quarantined\":"}`:                     `{"a":"\"$quarantined\":"}`,
	} {
		if !SameContent([]byte(marked), []byte(plain)) {
			t.Errorf("%s and %s differ", marked, plain)
		}
		for _, key := range []*Key{nil, keyed} {
			if key.Hash("e", []byte(marked)) != key.Hash("e", []byte(plain)) {
				t.Errorf("%s and %s have different hashes", marked, plain)
			}
		}
	}
	for a, b := range map[string]string{
		`{"$quarantined":"x","a":1}`: `{"a":2}`, `{"a":{"$quarantined":"x"}}`: `{"a":{}}`,
	} {
		if SameContent([]byte(a), []byte(b)) {
			t.Errorf("%s and %s are the same", a, b)
		}
	}
}

var sum uint64 // keeps the benchmark from being left out

func BenchmarkHash(b *testing.B) {
	record := []byte(strings.Repeat("r", 350))
	for name, key := range map[string]*Key{"blake2b": nil, "siphash": NewKey([siphash.KeyBytes]byte{1})} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				sum += key.HashRecord(record)
			}
		})
	}
}
