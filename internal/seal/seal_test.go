package seal

import (
	"bytes"
	"encoding/json"
	"testing"
)

// A change of any bit of an object is found.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	sealed := Add([]byte(`{"a":1,"b":{"c":"é"}}`))
	if !json.Valid(sealed) || !Whole(sealed) || !Whole(append(bytes.Clone(sealed), '\n')) {
		t.Fatalf("%s is not whole", sealed)
	}
	for i := range 8 * len(sealed) {
		flipped := bytes.Clone(sealed)
		if flipped[i/8] ^= 1 << (i % 8); Whole(flipped) {
			t.Errorf("%q counts as whole", flipped)
		}
	}
	for n := range sealed {
		if Whole(sealed[:n]) {
			t.Errorf("%q counts as whole", sealed[:n])
		}
	}
	for _, other := range []string{"", "{}", `{"a":1}`, "null", string(sealed) + string(sealed)} {
		if Whole([]byte(other)) {
			t.Errorf("%q counts as whole", other)
		}
	}
}
