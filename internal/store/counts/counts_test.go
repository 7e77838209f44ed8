package counts

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

const hour = trackway.Micros(60 * 60 * 1e6)

func open(t *testing.T, fs vfs.FS, report func(error)) *Counter {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c := New(db, report)
	c.Load(0)
	return c
}

// count stores what Number stages for the events, and counts them.
func (c *Counter) count(t *testing.T, events ...Event) {
	t.Helper()
	b := c.db.NewBatch()
	if err := errors.Join(c.Number(b, events), b.Commit(pebble.NoSync)); err != nil {
		t.Fatal(err)
	}
	c.Add(events)
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

func mustRead(t *testing.T, c *Counter, project uint32, r query.CountRange) map[query.Count]bool {
	t.Helper()
	got := make(map[query.Count]bool)
	if err := c.Read(project, r, func(n query.Count) bool { got[n] = true; return true }); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestKeys compares the bytes of keys and rows with docs/format.md.
func TestKeys(t *testing.T) {
	t.Parallel()
	for want, got := range map[string][]byte{
		"73 00000007 02 00000003 00072bf0": format.Key(nil).Count(7, query.ByReceived, 3, 470000),
		"79 00000007 7669736974":           format.Key(nil).Type(7, "visit"),
		"ac02 05 02":                       appendRow(nil, row{300, 5, 7}),
	} {
		if got := hex.EncodeToString(got); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	whole := appendRow(nil, row{300, 500, 700})
	for i := range whole {
		if r, err := decodeRow(whole[:i]); err == nil {
			t.Errorf("a row cut off after %d bytes is read as %v", i, r)
		}
	}
}

// TestAdjacent: events of one type next to each other have the number that each
// would have alone, also in different projects.
func TestAdjacent(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem(), func(err error) { t.Error(err) })
	c.count(t, Event{Project: 1, Type: "b", Seq: 1}, Event{Project: 1, Type: "a", Seq: 2}, Event{Project: 1, Type: "a", Seq: 3},
		Event{Project: 2, Type: "a", Seq: 4}, Event{Project: 2, Type: "a", Seq: 5}, Event{Project: 1, Type: "a", Seq: 6})
	for project, want := range map[uint32]map[query.Count]bool{
		1: {{Type: "b", Events: 1, First: 1, Last: 1}: true, {Type: "a", Events: 3, First: 2, Last: 6}: true},
		2: {{Type: "a", Events: 2, First: 4, Last: 5}: true},
	} {
		if diff := cmp.Diff(want, mustRead(t, c, project, query.CountRange{By: query.ByTime})); diff != "" {
			t.Errorf("project %d (-want): %s", project, diff)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRead: reads find counts in memory, in the database, or in both.
func TestRead(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem(), func(err error) { t.Error(err) })
	add := func(seq uint64, typ string, at trackway.Micros) {
		c.count(t, Event{Project: 1, Type: typ, Time: at, Received: 9 * hour, Seq: seq}, Event{Project: 2, Type: "b", Time: at, Received: at, Seq: seq})
	}
	add(1, "a", hour)
	add(2, "b", 2*hour)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	add(3, "a", hour)
	add(4, "c", 3*hour)
	a, b, third := query.Count{Type: "a", Hour: 1, Events: 2, First: 1, Last: 3}, query.Count{Type: "b", Hour: 2, Events: 1, First: 2, Last: 2},
		query.Count{Type: "c", Hour: 3, Events: 1, First: 4, Last: 4}
	for _, test := range []struct {
		r    query.CountRange
		want []query.Count
	}{
		{query.CountRange{}, []query.Count{a, b, third}},
		{query.CountRange{Type: "a"}, []query.Count{a}},
		{query.CountRange{Type: "none"}, nil},
		{query.CountRange{Since: 2}, []query.Count{b, third}},
		{query.CountRange{Until: 3}, []query.Count{a, b}},
		{query.CountRange{Type: "c", Until: 3}, nil},
	} {
		test.r.By = query.ByTime
		want := make(map[query.Count]bool)
		for _, n := range test.want {
			want[n] = true
		}
		if diff := cmp.Diff(want, mustRead(t, c, 1, test.r)); diff != "" {
			t.Errorf("%+v (-want): %s", test.r, diff)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyWaitsForSaving: counting and reading continue during the reads and
// the commit of a save, and see each event once.
func TestNobodyWaitsForSaving(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem(), func(err error) { t.Error(err) })
	c.Most = 10
	var readers sync.WaitGroup
	done := make(chan struct{})
	readers.Go(func() {
		for before := uint64(0); ; {
			var now uint64
			if err := c.Read(1, query.CountRange{By: query.ByTime}, func(n query.Count) bool { now += n.Events; return true }); err != nil {
				t.Error(err)
			}
			if now < before {
				t.Errorf("%d events are counted after there were %d", now, before)
			}
			before = now
			select {
			case <-done:
				return
			default:
			}
		}
	})
	const events = 5000
	for seq := range uint64(events) {
		c.count(t, Event{Project: 1, Type: "e", Time: trackway.Micros(seq) * hour, Received: 1, Seq: seq + 1})
		c.Room()
		c.SaveSoon()
		c.mu.Lock()
		size := c.young.size
		c.mu.Unlock()
		if size > maxBehind*c.Most {
			t.Fatalf("%d cells are in memory", size)
		}
	}
	close(done)
	readers.Wait()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, c, 1, query.CountRange{By: query.ByTime}); len(got) != events {
		t.Errorf("%d hours have events, want %d", len(got), events)
	}
}

var errDisk = errors.New("disk")

// TestUnreadableRows: unreadable rows are reported once, however many there
// are. The others are written, and nothing stays in memory.
func TestUnreadableRows(t *testing.T) {
	t.Parallel()
	reports := 0
	var failing bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return errDisk
		}
		return nil
	}))
	c := open(t, fs, func(error) { reports++ })
	for i := range 3 {
		if i == 1 { // the written rows are in a table that is unreadable from now on
			if err := c.db.Flush(); err != nil {
				t.Fatal(err)
			}
			failing = true
		}
		for j := range uint64(10) {
			c.count(t, Event{Project: 1, Type: fmt.Sprint("e", j), Time: hour, Received: hour, Seq: j + 1})
		}
		if err := c.Save(); err != nil {
			t.Error(err)
		}
		if n := c.young.size + c.old.size; n != 0 {
			t.Errorf("%d cells are kept after a write", n)
		}
	}
	if reports != 1 {
		t.Errorf("reported %d times, want once", reports)
	}
	failing = false
	for n := range maps.Keys(mustRead(t, c, 1, query.CountRange{By: query.ByTime})) {
		if n.Events != 1 {
			t.Errorf("got %+v: a row that could not be read was changed", n)
		}
	}
}

// TestDamagedAtLoading: unreadable records are reported. If the number of a
// type is lost, its events are counted with those of unnamed types from then
// on. So are the events of every new type, since its number could belong to
// another.
func TestDamagedAtLoading(t *testing.T) {
	t.Parallel()
	var reports []error
	fs := vfs.NewMem()
	c := open(t, fs, func(err error) { reports = append(reports, err) })
	add := func(c *Counter, seq uint64, typ string) {
		c.count(t, Event{Project: 1, Type: typ, Time: hour, Received: hour, Seq: seq})
	}
	for i, typ := range []string{"a", "lost", "b"} {
		add(c, uint64(i+1), typ)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{[]byte(format.KeyCounted), format.Key(nil).Type(1, "lost")} {
		if err := c.db.Set(key, []byte{1, 2}, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	again := New(c.db, c.report)
	if through := again.Load(7); through != 7 || len(reports) != 2 {
		t.Errorf("counted up to %d, reported %v; want 7, and two reports", through, reports)
	}
	for i, typ := range []string{"a", "lost", "new"} {
		add(again, uint64(i+8), typ)
	}
	want := map[query.Count]bool{
		{Type: "a", Hour: 1, Events: 2, First: 1, Last: 8}: true,
		{Type: "b", Hour: 1, Events: 1, First: 3, Last: 3}: true,
		{Hour: 1, Events: 1, First: 2, Last: 2}:            true, // counted under the lost number
		{Hour: 1, Events: 2, First: 9, Last: 10}:           true, // counted since
	}
	if diff := cmp.Diff(want, mustRead(t, again, 1, query.CountRange{By: query.ByTime})); diff != "" {
		t.Errorf("(-want): %s", diff)
	}
	if again.ByName(1, "new") || again.ByName(2, "a") || !again.ByName(1, "b") {
		t.Error("a type is said to be counted by its name that is not, or the other way round")
	}
}

// TestAdjacentEvents: events that are counted together have the same counts as
// events that are counted one by one.
func TestAdjacentEvents(t *testing.T) {
	t.Parallel()
	var events []Event
	for i := range 300 {
		events = append(events, Event{
			Project: uint32(1 + i/100%2), Type: strings.Repeat("t", 1+i/7%3), Seq: uint64(10 + 3*i),
			Time: trackway.Micros(i/5%4) * hour, Received: trackway.Micros(i/50) * hour,
		})
	}
	together, alone := open(t, vfs.NewMem(), nil), open(t, vfs.NewMem(), nil)
	together.count(t, events...)
	for i := range events {
		alone.count(t, events[i])
	}
	if diff := cmp.Diff(alone.young, together.young, cmp.AllowUnexported(generation{}, cell{}, row{})); diff != "" {
		t.Errorf("counted one by one (-) and together (+):\n%s", diff)
	}
	if together.young.size < 30 || together.young.events != len(events) {
		t.Errorf("got %d cells of %d events", together.young.size, together.young.events)
	}
}
