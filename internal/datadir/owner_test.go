package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Another user's store is not opened: the files written to it would be ours,
// and the other user could not read them.
func TestBelongs(t *testing.T) {
	t.Parallel()
	dir, me := t.TempDir(), os.Geteuid()
	for range 2 { // without a store, then with one
		if err := Belongs(dir, me); err != nil {
			t.Errorf("one's own: %v", err)
		}
		err := Belongs(dir, me+1)
		if err == nil {
			t.Fatal("another's: got no error")
		}
		if want := "use: sudo -u " + nameOf(uint32(me)) + " trackway"; !strings.Contains(err.Error(), want) {
			t.Errorf("another's: got %v, want %q", err, want)
		}
		if err := os.MkdirAll(filepath.Join(dir, "store"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Belongs(filepath.Join(dir, "absent"), me+1); err != nil {
		t.Errorf("nobody's: %v", err)
	}
	if got := nameOf(4_000_000_001); got != `\#4000000001` {
		t.Errorf("a user without a name: got %s", got)
	}
}
