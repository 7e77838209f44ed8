package timeline

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// lineOwners are the customers whose timelines one walk merges.
var lineOwners = []trackway.Customer{3, 5, 9}

// fill writes events of a few different times on several timelines, under keys
// with arbitrary ends. Every seventh has the mark of a merge, and every fifth
// is not in the log. fill returns their places in order.
func fill(t *testing.T, db *pebble.DB, random *rand.Rand, n int) (all []query.Place) {
	t.Helper()
	for seq := uint64(1); seq <= uint64(n); seq++ {
		at := trackway.Micros(random.IntN(4))
		tail := seq
		if random.IntN(2) == 0 {
			tail = random.Uint64() | format.HashTail
		}
		value := binary.AppendUvarint(nil, seq)
		if seq%7 == 0 {
			value = append(value, format.MergeMark)
		}
		owner := lineOwners[random.IntN(len(lineOwners))]
		if err := db.Set(format.AppendTimelineKey(nil, owner, at, tail), value, nil); err != nil {
			t.Fatal(err)
		}
		if seq%5 == 0 {
			continue
		}
		record := format.AppendEvent(nil, &trackway.Event{Project: 1, Customer: owner, Time: at, Type: "e"})
		if err := db.Set(format.AppendLogKey(nil, seq), record, nil); err != nil {
			t.Fatal(err)
		}
		all = append(all, query.Place{Time: at, Seq: seq})
	}
	slices.SortFunc(all, func(a, b query.Place) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seq, b.Seq)) })
	return all
}

// walk returns the places of up to limit events, 0 for all, and the highest
// number of sequence numbers that the walk had in memory.
func walk(t *testing.T, db *pebble.DB, r query.TimelineRange, most, limit int) (got []query.Place, held int) {
	t.Helper()
	w := Walk{TimelineRange: r, group: group{most: most}}
	defer w.Close()
	for _, c := range lineOwners {
		if err := w.Add(db, c); err != nil {
			t.Fatal(err)
		}
	}
	err := w.Events(func(e *trackway.Event, at query.Place) bool {
		if e.Seq != at.Seq || e.Time != at.Time {
			t.Errorf("event %d at %d is said to be at %+v", e.Seq, e.Time, at)
		}
		got = append(got, at)
		return len(got) != limit
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, cap(w.group.seqs)
}

// TestOrder: events are sorted by time and, if that is equal, by arrival,
// whatever their keys end in and whichever timeline they are on. Newest first
// is exactly the reverse, and a walk can begin after any event.
func TestOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 0))
		db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: nobody{}})
		if err != nil {
			t.Fatal(err)
		}
		all := fill(t, db, random, 1+random.IntN(40))
		for _, most := range []int{1, 3, 10, 0} {
			for _, newestFirst := range []bool{false, true} {
				r := query.TimelineRange{NewestFirst: newestFirst}
				want := slices.Clone(all)
				if newestFirst {
					slices.Reverse(want)
				}
				check := func(r query.TimelineRange, want []query.Place, limit int) {
					t.Helper()
					if got, _ := walk(t, db, r, most, limit); !slices.Equal(got, want) {
						t.Errorf("seed %d, most %d, %+v: got %v, want %v", seed, most, r, got, want)
					}
				}
				check(r, want, 0)
				for i := range want {
					r.After = want[i]
					check(r, want[i+1:], 0)
					check(r, want[i+1:min(i+3, len(want))], 2)
				}
				r.After = query.Place{}
				r.Since, r.Until = 1, 3
				check(r, slices.DeleteFunc(want, func(p query.Place) bool { return p.Time < 1 || p.Time >= 3 }), 0)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMerges: a walk of merges alone returns them in order, and asks about all
// other events.
func TestMerges(t *testing.T) {
	t.Parallel()
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	all := fill(t, db, rand.New(rand.NewPCG(1, 1)), 200)
	want := slices.DeleteFunc(slices.Clone(all), func(p query.Place) bool { return p.Seq%7 != 0 })
	passed := 0
	got, _ := walk(t, db, query.TimelineRange{Merges: true, Passed: func() bool { passed++; return true }}, 1000, 0)
	if left := 200 - len(want); !slices.Equal(got, want) || passed != left {
		t.Errorf("got %v, want %v; asked %d times about what is left out, want %d", got, want, passed, left)
	}
	if got, _ := walk(t, db, query.TimelineRange{Merges: true, Passed: func() bool { return false }}, 1000, 0); len(got) > 0 {
		t.Errorf("got %v after the walk was ended", got)
	}
}

// TestMemory: a walk keeps a bounded number of events in memory, however many
// have the same time.
func TestMemory(t *testing.T) {
	t.Parallel()
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	all := fill(t, db, rand.New(rand.NewPCG(2, 2)), 4000)
	const most = 16
	for _, newestFirst := range []bool{false, true} {
		got, held := walk(t, db, query.TimelineRange{NewestFirst: newestFirst}, most, 0)
		if len(got) != len(all) || held > 2*most {
			t.Errorf("got %d events with %d in memory, want %d with %d at most", len(got), held, len(all), 2*most)
		}
	}
}

// nobody discards what the database logs.
type nobody struct{}

func (nobody) Infof(string, ...any)  {}
func (nobody) Errorf(string, ...any) {}
func (nobody) Fatalf(string, ...any) {}
