package feed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An import continues at the place in its state only if the state is exactly
// what was written. At any other place it would skip rows, or store them twice.
func TestEveryBitOfState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rows.import.json")
	s := state{Store: "s", Project: "p", Mapping: "m", Offset: 1234, Totals: Totals{Lines: 7}}
	if err := s.save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begun := state{Store: "s", Project: "p", Mapping: "m"}
	if got, err := loadState(path, begun, false); err != nil || got != s {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i := range 8 * (len(text) - 1) { // the last line break says nothing
		flipped := bytes.Clone(text)
		flipped[i/8] ^= 1 << (i % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := loadState(path, begun, false); !errors.Is(err, errChanged) {
			t.Fatalf("got %+v, %v of %q", got, err, flipped)
		}
	}
}
