package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/query"
	"trackway/internal/store/damage"
	"trackway/internal/store/format"
	"trackway/internal/store/recent"
)

// text returns a change in the form in which tests state it.
func text(c *change.Change) string {
	switch c.Kind {
	case change.Stored:
		return c.Event.Type
	case change.Expired:
		return fmt.Sprintf("%d expired up to %d", c.Expired.Events, c.Expired.Highest)
	case change.Lost:
		return fmt.Sprintf("lost %d", c.Number)
	}
	return fmt.Sprintf("%s %d", map[change.Kind]string{
		change.Changed: "changed", change.Rewritten: "rewritten", change.Erased: "erased",
	}[c.Kind], c.Customer)
}

func changesOf(t *testing.T, s *Store, after uint64) (list []string) {
	t.Helper()
	for some, err := range s.Changes(after, change.NoCursor) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			list = append(list, text(&some[i]))
		}
	}
	return list
}

// newestOf lists the events up to a number, newest first.
func newestOf(t *testing.T, s *Store, through uint64) (list []string) {
	t.Helper()
	if err := s.Back(through, func(e *trackway.Event) bool {
		list = append(list, e.Type)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestFollowIsDurable: followers see nothing that is not on the disk. While the
// barrier is held, other commands see the event, but followers do not, and
// nobody is woken. The same is true of another event that comes when the first
// is on the disk, and waits for its own barrier.
func TestFollowIsDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		r := identifierOf("registered", "r")
		mustApply(t, s, event("before", 1, nil, r))
		sync, hold, held := s.sync, make(chan struct{}), make(chan struct{})
		s.sync = func() error {
			close(held)
			<-hold
			err := sync()
			late := []entry.Request{{Commands: []trackway.Command{event("late", 3, nil, r)}, Results: make([]trackway.Result, 1)}}
			return errors.Join(err, s.machine.Apply(s.Applied()+1, &entry.Commands{Requests: late}))
		}
		ctx, cancel := context.WithCancel(t.Context())
		followed := make(chan []change.Change, 1)
		go func() {
			defer close(followed)
			for some, err := range s.Follow(ctx, 2) {
				if err != nil {
					t.Error(err)
				}
				followed <- some
			}
		}()
		applied := make(chan struct{})
		go func() {
			defer close(applied)
			_ = s.Apply([]trackway.Command{event("held", 2, map[string]string{"p": "1"}, r)}, make([]trackway.Result, 1))
		}()
		<-held
		synctest.Wait()
		if s.nextSeq != 4 || s.Synced() != 2 {
			t.Errorf("the next change is %d, and they are durable up to %d: want 4 and 2", s.nextSeq, s.Synced())
		}
		if diff := cmp.Diff([]string{"before", "changed 1"}, changesOf(t, s, 0)); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		if got, want := newestOf(t, s, change.NoCursor), []string{"before"}; !slices.Equal(got, want) {
			t.Errorf("the newest events are %q, want %q", got, want)
		}
		if len(followed) > 0 {
			t.Error("woken before the barrier")
		}
		close(hold)
		if got := <-followed; len(got) != 1 || text(&got[0]) != "held" {
			t.Errorf("got %v", got)
		}
		cancel()
		if more, ok := <-followed; ok {
			t.Errorf("got %v after the end", more)
		}
		<-applied // before the store is closed
	})
}

// TestChanges: a follower sees the expected changes in order, for each customer
// only the latest. A restart does not change this.
func TestChanges(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if s.Synced() != 0 || len(changesOf(t, s, 0)) != 0 {
		t.Error("a new store has changes")
	}
	want := func(when string, after uint64, list ...string) {
		t.Helper()
		if got := changesOf(t, s, after); !slices.Equal(got, list) {
			t.Errorf("%s, after %d: got %q, want %q", when, after, got, list)
		}
	}
	r, c := identifierOf("registered", "r"), identifierOf("cookie", "c")
	mustApply(t, s, event("a", 1, nil, r), update(2, map[string]string{"p": "1"}, r), event("b", 3, nil, r))
	want("one change for each transaction", 0, "a", "b", "changed 1")
	mustApply(t, s, event("b", 3, nil, r)) // a duplicate
	mustApply(t, s, event("c", 4, nil, r))
	want("a known customer's events change nobody", 0, "a", "b", "changed 1", "c")
	mustApply(t, s, receivedAt(9, update(1, map[string]string{"p": "0"}, r)))
	want("an old update changes nobody", 3, "c")
	mustApply(t, s, update(5, map[string]string{"p": "2"}, r))
	want("an update", 0, "a", "b", "c", "changed 1")
	mustApply(t, s, event("d", 6, nil, c))
	want("a new customer", 4, "changed 1", "d", "changed 2")
	mustApply(t, s, update(7, nil, r, c))
	want("a merge", 5, "d", "merge", "changed 2", "changed 1")
	if x := mustExpire(t, s, allBefore(3)); x.Removed != 1 {
		t.Fatal(x)
	}
	want("expired", 0, "b", "c", "d", "merge", "changed 2", "changed 1", "1 expired up to 1")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, fs)
		want("opened again", 7, "merge", "changed 2", "changed 1", "1 expired up to 1")
	}
	if x := mustExpire(t, s, allBefore(4)); x.Removed != 1 {
		t.Fatal(x)
	}
	want("expired again", 8, "changed 2", "changed 1", "2 expired up to 2")
	mustErase(t, s, 1)
	want("erased", 10, "2 expired up to 2", "erased 1")
	mustBeConsistent(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestErasedChanges: an erasure reports the customers whose events it rewrites,
// even after another change of such a customer.
func TestErasedChanges(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	r, c := identifierOf("registered", "r"), identifierOf("cookie", "c")
	mustApply(t, s, update(1, nil, c), update(1, nil, r))
	// The merge of customer 1 names the cookie.
	mustApply(t, s, update(2, nil, r, c))
	// The cookie moves on to customer 3.
	mustApply(t, s, update(3, nil, identifierOf("registered", "s"), c))
	mustErase(t, s, 3)
	before := s.Synced()
	if got, want := changesOf(t, s, 4), []string{"rewritten 1", "erased 3"}; !slices.Equal(got[len(got)-2:], want) {
		t.Errorf("got %q, want %q at the end", got, want)
	}
	mustApply(t, s, update(4, map[string]string{"p": "1"}, r))
	if got, want := changesOf(t, s, before), []string{"rewritten 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCursors: cursors are stored, and no event expires before the lowest
// cursor has passed it.
func TestCursors(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	set := func(name string, number uint64) {
		t.Helper()
		if err := s.SetCursor(name, number); err != nil {
			t.Fatal(err)
		}
	}
	set("a", 5) // there are no changes yet
	if got, err := s.Cursors(); got["a"] != 0 || err != nil {
		t.Errorf("the cursor is at %v, ahead of the changes: %v", got, err)
	}
	for i := range 10 {
		mustApply(t, s, event("e", trackway.Micros(i), nil, cookie1)) // events 1 and 3 to 11
	}
	set("a", 5)
	set("b", 7)
	set("b", 0)
	set("c", 12)
	set("c", change.NoCursor)
	set("d", 12)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	got, err := s.Cursors()
	if diff := cmp.Diff(map[string]uint64{"a": 5, "b": 0, "d": 11}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, test := range []struct {
		name   string
		number uint64
		want   query.Expired
	}{
		{"b", 0, query.Expired{Soonest: query.Never, End: true}},
		{"b", 3, query.Expired{Removed: 2, Soonest: query.Never, End: true}},
		{"b", change.NoCursor, query.Expired{Removed: 2, Soonest: query.Never, End: true}},
		{"a", change.NoCursor, query.Expired{Removed: 4, Soonest: query.Never}},
	} {
		set(test.name, test.number)
		x, err := s.Expire(t.Context(), 1, 10, allBefore(query.Never))
		if x != test.want || err != nil {
			t.Errorf("with %s at %d: got %+v, want %+v: %v", test.name, test.number, x, test.want, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWho(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	cookie, registered := identifierOf("cookie", "c"), identifierOf("registered", "r")
	mustApply(t, s, event("a", 1, nil, registered), event("b", 2, nil, cookie))
	before := mustFind(t, s, cookie)
	mustApply(t, s, event("c", 3, nil, registered, cookie))
	who, ids, err := s.Current(demo, before)
	if err != nil || who != mustFind(t, s, registered) || who == before || len(ids) != 2 {
		t.Errorf("got %d with %v, %v", who, ids, err)
	}
	if who, ids, err := s.Current(demo, 99); who != 0 || ids != nil || err != nil {
		t.Errorf("an unknown customer is %d with %v, %v", who, ids, err)
	}
}

// TestUpdatesDoNotRewriteTheLog: transient changes do not touch the tables of
// the log, which only grows at its end. Otherwise Pebble would rewrite the
// payloads of the log to drop deletion marks, and so would a clean-up after an
// erasure.
func TestUpdatesDoNotRewriteTheLog(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	id := func(n int) trackway.Identifier { return identifierOf("cookie", strconv.Itoa(n)) }
	for i := range 100 {
		mustApply(t, s, event("e", trackway.Micros(i), nil, id(i)))
	}
	compactAll(t, s)
	log := &pebble.IterOptions{LowerBound: []byte{format.TableLog}, UpperBound: []byte{format.TableLog + 1}}
	tables := func() (list []string) {
		levels, err := s.db.SSTables(pebble.WithKeyRangeFilter(log.LowerBound, log.UpperBound), pebble.WithProperties())
		if err != nil {
			t.Fatal(err)
		}
		for level := range levels {
			for _, table := range levels[level] {
				list = append(list, fmt.Sprintf("%d: %v with %d marks", level, table.BackingSSTNum, table.Properties.NumDeletions))
			}
		}
		return list
	}
	before := tables()
	for at := range 3 {
		for i := range 100 {
			mustApply(t, s, update(trackway.Micros(1000+at), map[string]string{"p": "1"}, id(i)))
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, tables()); diff != "" || len(before) == 0 {
		t.Errorf("the log's tables (-before +after): %s", diff)
	}
	if n := len(changesOf(t, s, 0)); n != 200 {
		t.Errorf("there are %d changes, want one of each event and customer", n)
	}
}

// TestLostChanges: unreadable changes are reported as lost, by their numbers,
// and the rest is complete.
func TestLostChanges(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	mustApply(t, s, event("a", 1, nil, cookie1), event("b", 2, nil, cookie2)) // 1 to 4
	mustApply(t, s, event("c", 3, nil, cookie1), event("d", 4, nil, cookie3)) // 5 to 7
	for _, key := range [][]byte{format.AppendLogKey(nil, 2), format.Key(nil).Change(3)} {
		if err := s.db.Set(key, []byte{0xff}, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a", "lost 2", "lost 3", "changed 2", "c", "d", "changed 3"}
	if got := changesOf(t, s, 0); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := newestOf(t, s, 6), []string{"d", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("the newest events are %q, want %q", got, want)
	}
	if n := s.damaged.Count(damage.Event); n != 2 {
		t.Errorf("%d places are noted, want 2", n)
	}
	for _, record := range []string{"", "\x01", "\x01\x01", "\x01\x01\x01\x01", "\x01\x01\x06", "\x01\x01\x00", "\x01\x00\x04\x01"} {
		if c, err := recent.Decode(1, []byte(record)); err == nil {
			t.Errorf("%q is read as %+v", record, c)
		}
	}
	// Commands about a customer succeed even if the record of its latest change
	// is unreadable. A follower learns as much as the previous change can have
	// contained.
	if err := s.db.Set(format.Key(nil).Latest(demo, 2), []byte{0xff}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, update(5, map[string]string{"p": "1"}, cookie2))
	if got, want := changesOf(t, s, 7), []string{"rewritten 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
