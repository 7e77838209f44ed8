package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
	"trackway/internal/scale"
	"trackway/internal/store/cache"
	"trackway/internal/store/erased"
)

// openPlain opens a store with uncompressed tables, which can be searched.
func openPlain(tb testing.TB, fs vfs.FS) *Store {
	tb.Helper()
	s, err := Open("data", Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }, plain: true})
	if err != nil {
		tb.Fatal(err)
	}
	s.cache = cache.New(smallCache)
	return s
}

func mustErase(tb testing.TB, s *Store, c trackway.Customer, personal ...string) query.Erasure {
	tb.Helper()
	e, err := s.Erase(demo, c, personal, 1000)
	if err != nil {
		tb.Fatal(err)
	}
	return e.Erasure
}

func mustCleanUp(tb testing.TB, s *Store, want int) {
	tb.Helper()
	n, err := s.CleanUp(tb.Context(), func() trackway.Micros { return 2000 })
	if n != want || err != nil {
		tb.Fatalf("%d erasures cleaned up after, want %d: %v", n, want, err)
	}
}

// traces lists the files of a store that contain one of the needles. It
// searches their bytes and, since the keys in a table share prefixes, also the
// records of each table.
func traces(tb testing.TB, fs vfs.FS, needles ...[]byte) (found []string) {
	tb.Helper()
	return search(tb, fs, entries, needles)
}

func search(tb testing.TB, fs vfs.FS, entries func(tb testing.TB, fs vfs.FS, name string) []byte, needles [][]byte) (found []string) {
	tb.Helper()
	names, err := fs.List("data")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin("data", name))
		if err == nil && info.IsDir() {
			tb.Fatalf("%s is left in the directory", name)
		}
		var text []byte
		if err == nil {
			text, err = content(fs, name)
		}
		// A file may have been replaced by one that was not listed.
		if errors.Is(err, os.ErrNotExist) {
			return search(tb, fs, entries, needles)
		} else if err != nil {
			tb.Fatal(err)
		}
		if path.Ext(name) == ".sst" {
			text = append(text, entries(tb, keep(tb, name, text), name)...)
		}
		for _, needle := range needles {
			if bytes.Contains(text, needle) {
				found = append(found, fmt.Sprintf("%s: %q", name, needle))
			}
		}
	}
	return found
}

func content(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(fs.PathJoin("data", name))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}

// keep returns a file system with one file, which nobody removes.
func keep(tb testing.TB, name string, text []byte) vfs.FS {
	tb.Helper()
	fs := vfs.NewMem()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(text)) // Write may change it
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatal(err)
	}
	return fs
}

// entries returns all versions of all records of a table, including deletion
// marks.
func entries(tb testing.TB, fs vfs.FS, name string) (all []byte) {
	tb.Helper()
	f, err := fs.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	readable, err := objstorageprovider.NewFileReadable(f, fs, objstorageprovider.NewReadaheadConfig(), name)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := sstable.NewReader(tb.Context(), readable, sstable.ReaderOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		tb.Fatal(err)
	}
	for kv := it.First(); kv != nil; kv = it.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(append(append(all, kv.K.UserKey...), value...), '\n')
	}
	if err := errors.Join(it.Close(), r.Close()); err != nil {
		tb.Fatal(err)
	}
	return all
}

// secret returns a unique text.
func secret(name string) string { return fmt.Sprintf("%s-%016x", name, rand.Uint64()) }

func quoted(s string) string { return `"` + s + `"` }

// erasureStory is a store in which Jane has left traces everywhere.
type erasureStory struct {
	s       *Store
	now     trackway.Micros
	needles [][]byte
	jane    trackway.Identifier
}

func (y *erasureStory) secret(name string) string {
	text := secret(name)
	y.needles = append(y.needles, []byte(text))
	return text
}

func (y *erasureStory) id(name, value string) trackway.Identifier {
	return identifierOf(name, y.secret(value))
}

func (y *erasureStory) apply(tb testing.TB, cmds ...trackway.Command) {
	tb.Helper()
	for i := range cmds {
		y.now++
		cmds[i].Received = y.now
	}
	mustApply(tb, y.s, cmds...)
}

// crowd adds other customers before, between and after Jane's records in each
// table.
func (y *erasureStory) crowd(tb testing.TB, name string, n int) {
	tb.Helper()
	for i := range n {
		id := identifierOf("cookie", fmt.Sprintf("%c%s%d", 'a'+i%26, name, i))
		y.apply(
			tb, update(y.now, map[string]string{"email": quoted("kept@example.com")}, id),
			event("visit", y.now, map[string]string{"email": quoted("kept@example.com"), "n": strconv.Itoa(i)}, id),
		)
	}
}

// tell gives Jane several devices, merges her, takes and gives her identifiers,
// and changes her address.
func (y *erasureStory) tell(tb testing.TB, flush func()) {
	tb.Helper()
	y.crowd(tb, "before", 100)
	y.jane = y.id("registered", "jane")
	phone, laptop, shared := y.id("cookie", "phone"), y.id("cookie", "laptop"), y.id("cookie", "shared")
	y.apply(tb, event("visit", y.now, nil, shared)) // this event stays with Bob
	for i := range 3 {
		for _, id := range []trackway.Identifier{phone, laptop} {
			email := map[string]string{"email": quoted(y.secret("event-email"))}
			y.apply(tb, update(y.now, map[string]string{"email": quoted(y.secret("email")), "kept": "1"}, id), event("visit", y.now, email, id))
			hash := y.s.key.Load().Hash("visit", canonjson.AppendObject(nil, propertiesOf(email)))
			y.needles = append(y.needles, fmt.Appendf(nil, "%s", bigEndian(hash)))
		}
		y.crowd(tb, fmt.Sprint("between", i), 10)
		flush()
	}
	bob := identifierOf("registered", "bob")
	// The shared device is Bob's, and one of Bob's merges says so.
	y.apply(tb, update(y.now, nil, bob, shared))
	y.apply(tb, update(y.now, nil, identifierOf("cookie", "bobs")), update(y.now, nil, bob, identifierOf("cookie", "bobs")))
	flush()
	y.apply(tb, update(y.now, nil, y.jane, phone))
	y.apply(tb, update(y.now, nil, y.jane, laptop))
	y.apply(tb, update(y.now, nil, y.jane, shared)) // taken from Bob
	flush()
	y.crowd(tb, "after", 100)
}

func bigEndian(n uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return b
}

// erase erases Jane, after a check that the search finds her traces.
func (y *erasureStory) erase(tb testing.TB, fs vfs.FS) {
	tb.Helper()
	y.now++
	c := mustFind(tb, y.s, y.jane)
	if c == 0 {
		tb.Fatal("nobody is there to be erased")
	}
	if e := mustErase(tb, y.s, c, "email"); e.ID == 0 || e.Done != 0 {
		tb.Errorf("got %+v", e)
	}
	none := func(testing.TB, vfs.FS, string) []byte { return nil } // tables come and go
	if len(search(tb, fs, none, y.needles)) < len(y.needles)/2 {
		tb.Error("there are hardly any traces before the clean-up: this test would not notice them")
	}
}

// TestCleanUp: after the clean-up that an erasure schedules, no byte of any
// file contains an identifier or a personal value of the erased customer,
// whatever happened to them before.
func TestCleanUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flush bool // the story is spread over tables
		// All of it is at the lowest level before the erasure.
		settle bool
		during func(*testing.T, *Store) (release func()) // happens before the erasure
		// Happens between the erasure and the clean-up.
		after func(*testing.T, *Store)
	}{
		"in memory":     {},
		"in tables":     {flush: true},
		"at the bottom": {flush: true, settle: true},
		"compacted while a snapshot was open": {
			flush: true, settle: true,
			during: func(_ *testing.T, s *Store) func() {
				v := s.Snapshot()
				return func() { _ = v.Close() }
			},
			after: compactAll,
		},
		"marks moved to the bottom": {
			// By the time of the clean-up there is nothing above them.
			after: func(t *testing.T, s *Store) {
				t.Helper()
				compactAll(t, s)
				compactAll(t, s)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			y := &erasureStory{s: openPlain(t, fs), now: 1000}
			defer func() { _ = y.s.Close() }()
			y.tell(t, func() {
				if err := y.s.db.Flush(); test.flush && err != nil {
					t.Fatal(err)
				}
			})
			if test.settle {
				compactAll(t, y.s)
			}
			release := func() {}
			if test.during != nil {
				release = test.during(t, y.s)
			}
			y.erase(t, fs)
			if test.after != nil {
				test.after(t, y.s)
			}
			release()
			mustCleanUp(t, y.s, 1)
			if found := traces(t, fs, y.needles...); len(found) > 0 {
				t.Errorf("after the clean-up: %v\n%s", found, y.s.db.DebugString())
			}
			if n, _ := y.s.pending.Pending(); n != 0 {
				t.Errorf("%d erasures are pending", n)
			}
			mustBeConsistent(t, y.s)
			if len(traces(t, fs, []byte("kept@example.com"))) == 0 {
				t.Error("the others are gone, too")
			}
			y.crowd(t, "later", 10)
			mustBeConsistent(t, y.s)
		})
	}
}

func compactAll(t *testing.T, s *Store) {
	t.Helper()
	if err := errors.Join(s.db.Flush(), s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false)); err != nil {
		t.Fatal(err)
	}
}

// TestCleanUpWhileBusy: others read and write all the time.
func TestCleanUpWhileBusy(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	y := &erasureStory{s: openPlain(t, fs), now: 1000}
	defer func() { _ = y.s.Close() }()
	y.tell(t, func() {})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			r := request{n: 1_000_000 + n, kind: requestKind(n % int(sendErase))}
			if err := r.send(y.s); err != nil {
				t.Error(err)
			}
			v := y.s.Snapshot()
			if err := v.Profiles(demo, func(*trackway.Profile) bool { return n%10 == 0 }); err != nil {
				t.Error(err)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	y.erase(t, fs)
	mustCleanUp(t, y.s, 1)
	stop()
	<-done
	if found := traces(t, fs, y.needles...); len(found) > 0 {
		t.Errorf("after the clean-up: %v", found)
	}
	mustBeConsistent(t, y.s)
}

// TestCleanUpWaitsForReaders: the clean-up waits until snapshots that show
// erased data are closed. If it gives up waiting, it stays scheduled.
func TestCleanUpWaitsForReaders(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	y := &erasureStory{s: openPlain(t, fs), now: 1000}
	defer func() { _ = y.s.Close() }()
	y.tell(t, func() {})
	v := y.s.Snapshot()
	y.erase(t, fs)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		n, err := y.s.CleanUp(ctx, func() trackway.Micros { return 1 })
		cancel()
		if n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("cleaned up after %d with a reader there: %v", n, err)
		}
	}
	if n, oldest := y.s.pending.Pending(); n != 1 || oldest != 1000 {
		t.Errorf("%d are pending since %d", n, oldest)
	}
	if c, err := v.Find(demo, y.jane); c == 0 || err != nil {
		t.Errorf("the snapshot is not as it was: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	mustCleanUp(t, y.s, 1)
	if found := traces(t, fs, y.needles...); len(found) > 0 {
		t.Errorf("after the clean-up: %v", found)
	}
}

// TestCleanUpAfterCrash: the schedule survives a power cut at any point of a
// clean-up.
func TestCleanUpAfterCrash(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for cut := range scale.Of(12, 3) {
		mem := vfs.NewCrashableMem()
		y := &erasureStory{s: openPlain(t, mem), now: 1000}
		y.tell(t, func() {})
		y.erase(t, mem)
		clones := make(chan *vfs.MemFS, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // at any moment of the clean-up
			for range cut * 20 {
				_, _ = mem.List("data")
			}
			clones <- mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random})
			cancel()
		}()
		if _, err := y.s.CleanUp(ctx, func() trackway.Micros { return 2000 }); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		fs := <-clones
		if err := y.s.Close(); err != nil {
			t.Fatal(err)
		}
		y.s = openPlain(t, fs)
		n, _ := y.s.pending.Pending()
		mustCleanUp(t, y.s, n)
		if found := traces(t, fs, y.needles...); len(found) > 0 {
			t.Errorf("cut %d: after the clean-up: %v", cut, found)
		}
		list, err := y.s.Erasures(demo)
		if err != nil || len(list) != 1 || !cmp.Equal(list[0], query.Erasure{ID: 1, Customer: list[0].Customer, Asked: 1000, Done: 2000}) {
			t.Errorf("got %+v, %v", list, err)
		}
		mustBeConsistent(t, y.s)
		if err := y.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCleanUpOfMany: one clean-up serves several erasures, including a large
// customer and one whose timeline stayed.
func TestCleanUpOfMany(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	defer func() { _ = s.Close() }()
	var needles [][]byte
	var large []trackway.Command
	device, account := identifierOf("cookie", secret("device")), identifierOf("registered", secret("account"))
	for i := range maxMoved + 10 {
		text := secret("text")
		needles = append(needles, []byte(text))
		large = append(large, event("e", trackway.Micros(i), map[string]string{"email": quoted(text + strings.Repeat("x", 5000))}, device))
	}
	for batch := range slices.Chunk(large, 50) {
		mustApply(t, s, batch...)
	}
	// The device is older and survives.
	mustApply(t, s, update(1, nil, account), update(5000, nil, account, device))
	needles = append(needles, []byte(device.Value), []byte(account.Value))
	for i := range 50 {
		id := identifierOf("cookie", secret("other"))
		needles = append(needles, []byte(id.Value))
		mustErase(t, s, mustApply(t, s, event("e", trackway.Micros(i), nil, id))[0].Customer, "email")
	}
	mustErase(t, s, mustFind(t, s, account), "email")
	mustCleanUp(t, s, 51)
	mustCleanUp(t, s, 0)
	if found := traces(t, fs, needles...); len(found) > 0 {
		t.Errorf("after the clean-up: %v", found)
	}
	list, err := s.Erasures(demo)
	if err != nil || len(list) != 51 || list[0].ID != 51 || list[50].Done != 2000 {
		t.Errorf("got %+v, %v", list, err)
	}
	if other, err := s.Erasures(demo + 1); len(other) != 0 || err != nil {
		t.Errorf("another project sees %v, %v", other, err)
	}
	mustBeConsistent(t, s)
}

// TestDoneErasuresAreForgotten: the store remembers a thousand done erasures,
// all of the last hour, so that destinations hear of their end, and all that
// are not done.
func TestDoneErasuresAreForgotten(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	id := identifierOf("cookie", "c")
	for range erased.MaxDone + 20 {
		mustErase(t, s, mustApply(t, s, update(1, nil, id))[0].Customer)
	}
	mustCleanUp(t, s, erased.MaxDone+20)
	const hour = 3600e6
	for i, test := range []struct {
		at   trackway.Micros
		want int
	}{{2000 + hour, erased.MaxDone + 21}, {2001 + hour, erased.MaxDone}} {
		mustErase(t, s, mustApply(t, s, update(1, nil, id))[0].Customer)
		if n, err := s.CleanUp(t.Context(), func() trackway.Micros { return test.at }); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		list, err := s.Erasures(demo)
		if err != nil || len(list) != test.want || list[0].ID != uint64(erased.MaxDone+21+i) {
			t.Errorf("at %d, %d are remembered, want %d: %v", test.at, len(list), test.want, err)
		}
	}
}

// TestErasedIDInOtherMerges: an identifier that has moved is erased from the
// merges of its former holders.
func TestErasedIDInOtherMerges(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	jane, bob := identifierOf("registered", "jane"), identifierOf("registered", "bob")
	// One of Bob's merges names cookie1.
	mustApply(t, s, update(1, nil, cookie1), update(2, nil, bob), update(3, nil, bob, cookie1))
	// The cookie moves to Jane.
	mustApply(t, s, update(4, nil, jane, cookie1))
	bobs := mustFind(t, s, bob)
	if got := mustEvents(t, s, bobs); len(got) != 1 || !strings.Contains(got[0], `"c1"`) {
		t.Fatalf("got %q", got)
	}
	mustErase(t, s, mustFind(t, s, jane))
	got := mustEvents(t, s, bobs)
	if len(got) != 1 || strings.Contains(got[0], `"c1"`) || !strings.Contains(got[0], `"bob"`) {
		t.Errorf("got %q, want Bob's merge without the cookie", got)
	}
	mustBeConsistent(t, s)
}

// TestClientsMergeEvent: a client's event of type merge may be an exported
// merge of ours, imported again. So an erasure removes everything that looks
// like identifiers from it, and keeps the other properties that are not
// personal.
func TestClientsMergeEvent(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	properties := map[string]string{
		"email": `"x"`, "branch": `"main"`, "absorbed_ids": `{"cookie":["c1"]}`, "survivor_ids": `{"registered":"r1"}`, "cause_ids": `"none"`,
	}
	mustApply(t, s, event(trackway.MergeType, 5, properties, reg1))
	untimed := event(trackway.MergeType, 6, properties, reg1)
	untimed.TimeGiven = false
	mustApply(t, s, untimed)
	mustErase(t, s, 1, "email")
	want := `{"branch":"main","cause_ids":"none"}`
	for _, got := range mustEvents(t, s, 1) {
		if !strings.HasSuffix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestCleanUpWaitsForOpenTables: a table stays on the disk until its last
// reader is done.
func TestCleanUpWaitsForOpenTables(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	y := &erasureStory{s: openPlain(t, fs), now: 1000}
	defer func() { _ = y.s.Close() }()
	y.tell(t, func() {})
	compactAll(t, y.s)
	it, err := y.s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	y.erase(t, fs)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if n, err := y.s.CleanUp(ctx, func() trackway.Micros { return 1 }); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cleaned up after %d with a table being read: %v", n, err)
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	mustCleanUp(t, y.s, 1)
	if found := traces(t, fs, y.needles...); len(found) > 0 {
		t.Errorf("after the clean-up: %v", found)
	}
}
