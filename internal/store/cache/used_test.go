package cache

import (
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestUsed: the set misses no key that the database had or that was added, and
// nearly all others, once it has read the database.
func TestUsed(t *testing.T) {
	t.Parallel()
	const n = 5 * learnAtOnce / 2
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := db.Set(fmt.Append(nil, "i", i), nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	var lock sync.Mutex
	left := 0
	u := NewUsed(Usual)
	lock.Lock()
	u.Learn(db, 'i', &lock, func() { left++ })
	u.Add([]byte("i-new"))
	if u.Misses([]byte("i-other")) {
		t.Error("a key is missed before all are learned")
	}
	lock.Unlock()
	u.done.Wait()
	for i := range n {
		if u.Misses(fmt.Append(nil, "i", i)) {
			t.Fatalf("key %d is missed", i)
		}
	}
	if u.Misses([]byte("i-new")) {
		t.Error("an added key is missed")
	}
	wrong := 0
	for i := range n {
		if !u.Misses(fmt.Append(nil, "j", i)) {
			wrong++
		}
	}
	if wrong > n/20 {
		t.Errorf("%d of %d keys are not missed", wrong, n)
	}

	// one that is stopped early misses nothing
	other := NewUsed(0)
	lock.Lock()
	other.Learn(db, 'i', &lock, func() { left++ })
	other.end()
	lock.Unlock()
	other.Stop()
	if other.Misses([]byte("k")) {
		t.Error("a key is missed although not all are learned")
	}
	if left != 2 {
		t.Errorf("the end was told %d times, want 2", left)
	}
	if err := db.Close(); err != nil { // fails if an iterator is open
		t.Error(err)
	}
}
