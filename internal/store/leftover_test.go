package store

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/query"
)

// TestCleanUpOfWhatHadExpired: some events of a customer had expired before the
// erasure, but still occupied space. After the clean-up, no file contains them
// either.
func TestCleanUpOfWhatHadExpired(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]func(*testing.T, *Store){
		"marks in memory": func(*testing.T, *Store) {},
		"marks in a table": func(t *testing.T, s *Store) {
			t.Helper()
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		},
		"compacted while a reader was there": compactAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			y := &erasureStory{s: openPlain(t, fs), now: 1000}
			defer func() { _ = y.s.Close() }()
			y.crowd(t, "before", 100)
			y.jane = y.id("registered", "jane")
			y.apply(t, event("old", 5, map[string]string{"email": quoted(y.secret("old-email"))}, y.jane))
			y.crowd(t, "after", 100)
			compactAll(t, y.s)
			reader := y.s.Snapshot()
			x, err := y.s.Expire(t.Context(), 1, 1<<40, func(_ uint32, typ string) trackway.Micros {
				if typ == "old" {
					return 6
				}
				return query.Forever
			})
			if err != nil || x.Removed != 1 {
				t.Fatal(x, err)
			}
			settle(t, y.s)
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			mustErase(t, y.s, mustFind(t, y.s, y.jane), "email")
			if len(traces(t, fs, y.needles[1])) == 0 {
				t.Error("the event has left no trace before the clean-up: this test would not notice it")
			}
			mustCleanUp(t, y.s, 1)
			if found := traces(t, fs, y.needles...); len(found) > 0 {
				t.Errorf("after the clean-up: %v", found)
			}
			mustBeConsistent(t, y.s)
		})
	}
}

// TestCleanUpAfterACutOffErasure: files still contain the old versions of what
// an interrupted erasure has rewritten for other customers. The clean-up after
// the next erasure removes them.
func TestCleanUpAfterACutOffErasure(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	defer func() { _ = s.Close() }()
	moving := secret("cookie")
	jane, bob, cookie := identifierOf("registered", "jane"), identifierOf("registered", "bob"), identifierOf("cookie", moving)
	// One of Bob's merges names the cookie.
	mustApply(t, s, update(1, nil, cookie), update(2, nil, bob), update(3, nil, bob, cookie))
	// The cookie moves to Jane.
	mustApply(t, s, update(4, nil, jane, cookie))
	compactAll(t, s)

	e := s.newEraser(demo, nil, 1000) // the process ends before the identifiers go
	if err := errors.Join(e.pass(mustFind(t, s, jane)), s.db.Flush()); err != nil || len(e.chunk.Places) == 0 {
		t.Fatal(e.chunk.Places, err)
	}
	mustErase(t, s, mustFind(t, s, jane))
	mustCleanUp(t, s, 1)
	if found := traces(t, fs, []byte(moving)); len(found) > 0 {
		t.Errorf("after the clean-up: %v", found)
	}
	mustBeConsistent(t, s)
}

// TestEraseLearnsIdentifiers: if a customer gains an identifier during its
// erasure, this is also removed from the merges of former holders.
func TestEraseLearnsIdentifiers(t *testing.T) {
	t.Parallel()
	jane, bob := identifierOf("registered", "jane"), identifierOf("registered", "bob")
	for late := true; late; { // until it arrives in time
		s := openTest(t)
		// One of Bob's merges names cookie1.
		mustApply(t, s, update(1, nil, cookie1), update(2, nil, bob), update(3, nil, bob, cookie1))
		cmds := make([]trackway.Command, 20*entry.MaxEvents)
		for i := range cmds {
			cmds[i] = event("visit", trackway.Micros(10+i), map[string]string{"email": `"x"`}, jane)
		}
		mustApply(t, s, cmds...)
		c, begun := mustFind(t, s, jane), s.Version(demo)
		done := make(chan error)
		go func() {
			_, err := s.Erase(demo, c, []string{"email"}, 1000)
			done <- err
		}()
		for s.Version(demo) == begun {
			runtime.Gosched()
		}
		late = mustApply(t, s, update(5000, nil, jane, cookie1))[0].Customer != c
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := mustEvents(t, s, mustFind(t, s, bob)); !late && (len(got) != 1 || strings.Contains(got[0], `"c1"`)) {
			t.Errorf("got %q, want Bob's merge without the cookie", got)
		}
		mustBeConsistent(t, s)
	}
}

// TestLostIDsAreCleanedUp: a customer that had too many identifiers lost some
// before the erasure. After the clean-up, no file contains them. The former
// identifiers of other customers are still known.
func TestLostIDsAreCleanedUp(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	y := &erasureStory{s: openPlain(t, fs), now: 1000}
	defer func() { _ = y.s.Close() }()
	y.jane = y.id("registered", "jane")
	other := y.id("cookie", "other") // Jane absorbs it, with its lost identifiers
	for i := range trackway.MaxSoftIDs + 2 {
		y.apply(t, update(y.now, nil, y.jane, y.id("cookie", fmt.Sprint("cookie", i))))
		y.apply(t, update(y.now, nil, other, y.id("cookie", fmt.Sprint("others", i))))
	}
	y.apply(t, update(y.now, nil, y.jane, other))
	bob := identifierOf("registered", "bob")
	for i := range trackway.MaxSoftIDs + 1 {
		y.apply(t, update(y.now, nil, bob, identifierOf("cookie", fmt.Sprint("bobs", i))))
	}
	y.erase(t, fs)
	mustCleanUp(t, y.s, 1)
	if found := traces(t, fs, y.needles...); len(found) > 0 {
		t.Errorf("after the clean-up: %v", found)
	}
	if found := traces(t, fs, []byte("bobs0")); len(found) == 0 {
		t.Error("what Bob had lost is forgotten, too")
	}
	mustBeConsistent(t, y.s)
}
