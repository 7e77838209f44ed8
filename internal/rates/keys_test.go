package rates

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"trackway/internal/allocs"
)

// TestByKey: the commands of a key count for ten minutes, apart from those of
// other keys and of other projects.
func TestByKey(t *testing.T) {
	t.Parallel()
	m := New(start)
	web := Key{1, "web"}
	m.Sent(start, web, 5, 2)
	m.Sent(start.Add(9*time.Minute), web, 3, 0)
	m.Sent(start, Key{2, "web"}, 100, 100)
	m.Sent(start, Key{1, "app"}, 100, 100)
	for _, test := range []struct {
		after             time.Duration
		commands, refused uint64
	}{
		{time.Minute, 7, 2},
		{9 * time.Minute, 10, 2},
		{10 * time.Minute, 3, 0},
		{19 * time.Minute, 0, 0},
	} {
		if commands, refused := m.ByKey(start.Add(test.after), web); commands != test.commands || refused != test.refused {
			t.Errorf("after %v: got %d and %d, want %d and %d", test.after, commands, refused, test.commands, test.refused)
		}
	}
	if commands, refused := m.ByKey(start, Key{1, "none"}); commands != 0 || refused != 0 {
		t.Errorf("an unused key: got %d and %d", commands, refused)
	}
}

// TestManyKeys: the meter counts a bounded number of keys. Those by which
// nothing comes make room.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	m := New(start)
	var all sync.WaitGroup
	for part := range 4 {
		all.Go(func() {
			for i := range mostKeys / 2 {
				m.Sent(start, Key{uint32(part), strconv.Itoa(i)}, 1, 1)
			}
		})
	}
	all.Wait()
	if n := len(m.keys); n != mostKeys {
		t.Errorf("got %d keys, want %d", n, mostKeys)
	}
	later := start.Add(20 * time.Minute)
	m.Sent(later, Key{9, "new"}, 1, 1)
	if commands, _ := m.ByKey(later, Key{9, "new"}); commands != 2 || len(m.keys) != 1 {
		t.Errorf("got %d commands of the new key, and %d keys", commands, len(m.keys))
	}
}

// TestSentAllocs: counting a call for its key allocates nothing.
func TestSentAllocs(t *testing.T) { // not parallel: it counts allocations
	m := New(start)
	if n := allocs.PerRun(100, func() { m.Sent(start, Key{1, "web"}, 1, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
