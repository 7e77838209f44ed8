package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/scale"
	"trackway/internal/store/cache"
	"trackway/internal/store/prepared"
)

// TestMemoryOfKeys: a store that remembers the last keys of its customers finds
// the same duplicates as one that always looks them up, in whatever order
// events come, and even if timelines were merged, moved, rewritten or expired.
func TestMemoryOfKeys(t *testing.T) {
	t.Parallel()
	var found, fresh int
	runs := scale.Of(6, 2)
	for range runs {
		seed := rand.Uint64()
		remembers, looks := openTest(t), openTest(t)
		remembers.cache = cache.New(4 << 10) // its filter holds 224 keys
		for _, s := range []*Store{remembers, looks} {
			s.mostMoved, s.mostKept = fewMoved, fewKept
			mustKey(t, s)
			mustRegister(t, s, "demo")
		}
		random := rand.New(rand.NewPCG(seed, 0))
		for step := range 1500 {
			do := drawStep(random, trackway.Micros(100+step))
			looks.cache.Empty()
			if random.IntN(50) == 0 {
				remembers.cache.Empty()
			}
			got, want := do(t, remembers), do(t, looks)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, got, want)
			}
			if r, ok := got.(trackway.Result); ok && r.Duplicate {
				found++
			} else if ok && r.Seq != 0 {
				fresh++
			}
			if step%100 == 0 {
				mustBeConsistent(t, remembers)
			}
		}
		mustBeConsistent(t, remembers)
		if diff := difference(state(t, looks), state(t, remembers)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	if found < 80*runs || fresh < 80*runs {
		t.Errorf("%d duplicates, %d new events: the test tests nothing", found, fresh)
	}
}

// drawStep draws a step to apply to a store. The step returns its outcome.
func drawStep(random *rand.Rand, now trackway.Micros) func(*testing.T, *Store) any {
	ids := []trackway.Identifier{identifierOf("cookie", strconv.Itoa(random.IntN(5)))}
	switch n := random.IntN(100); {
	case n < 2:
		c := trackway.Customer(1 + random.IntN(8))
		return func(_ *testing.T, s *Store) any {
			_, err := s.Erase(demo, c, machinePersonal, now)
			return errors.Is(err, pebble.ErrNotFound)
		}
	case n < 4:
		before := now/40 + trackway.Micros(random.IntN(16))
		return func(t *testing.T, s *Store) any {
			t.Helper()
			x, err := s.Expire(t.Context(), 1, 1<<40, func(uint32, string) trackway.Micros { return before })
			return fmt.Sprint(x, err)
		}
	case n < 12:
		ids = append(ids, identifierOf("registered", strconv.Itoa(random.IntN(2))))
	}
	properties := map[string]string{}
	if random.IntN(3) == 0 {
		properties["email"] = strconv.Itoa(random.IntN(2))
	}
	c := event("e", now/40+trackway.Micros(random.IntN(16)), properties, ids...)
	c.Received = now
	c.TimeGiven = random.IntN(10) > 0
	if random.IntN(4) == 0 {
		c.Properties = propertiesOf(map[string]string{trackway.MessageID: strconv.Itoa(random.IntN(4))})
		c.TimeVaries, c.Claimed = true, now/40+trackway.Micros(random.IntN(16))
	}
	return func(t *testing.T, s *Store) any {
		t.Helper()
		r := mustApply(t, s, c)[0]
		refused := r.Err != nil
		if r.Err = nil; refused {
			return "refused"
		}
		return r
	}
}

// TestCacheIsAnswered: an event of a recent customer needs no look-up, and
// reads nothing from the database, even if other events of the same second come
// in between.
func TestCacheIsAnswered(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	s.cache = cache.New(cache.Usual)
	at := func(n int) trackway.Command { return event("e", trackway.Micros(1000+n), nil, cookie1) }
	mustApply(t, s, at(0))
	for _, n := range []int{9, 3, 6, 12, 8, 11} { // of two connections
		c := at(n)
		tx := s.begin()
		tx.from = unreadable{}
		for _, content := range []*entry.Content{nil, {IDs: prepared.AppendIDs(nil, &c, &s.cache)}} {
			if customer := tx.known(&c, content); customer != 1 {
				t.Errorf("event %d: the cache knows customer %d, want 1", n, customer)
			}
		}
		if r, err := tx.command(&c, nil); err != nil || r.Seq == 0 {
			t.Errorf("event %d is %+v, %v, want it to be new", n, r, err)
		}
		tx.committed = true // so that the cache keeps it
		tx.close()
	}
}

// unreadable is a database that must not be read.
type unreadable struct{ pebble.Reader }

func (unreadable) Get([]byte) ([]byte, io.Closer, error) { panic("look-up") }

// TestForgetsWhatFailed: a transaction that is not committed leaves nothing in
// the cache: neither customers nor events.
func TestForgetsWhatFailed(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustRegister(t, s, "demo")
	known, stranger := identifierOf("cookie", "known"), identifierOf("cookie", "stranger")
	mustApply(t, s, event("e", 1, nil, known))
	cmds := []trackway.Command{event("e", 2, nil, known), event("e", 2, nil, stranger), event("e", 3, nil, stranger, known)}
	for i := range cmds {
		cmds[i].TimeGiven = true
	}
	s.mu.Lock()
	failed := s.begin()
	err := failed.commands(&entry.Commands{Requests: []entry.Request{{Commands: cmds, Results: make([]trackway.Result, len(cmds))}}})
	failed.close()
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []trackway.Customer{1, 2, 1} {
		if r := mustApply(t, s, cmds[i])[0]; r.Duplicate || r.Seq == 0 || r.Customer != want {
			t.Errorf("command %d: got %+v", i, r)
		}
	}
	mustBeConsistent(t, s)
}
