package digest

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/engine"
	"trackway/internal/store/format"
)

// fixed is a source whose effects are always the same.
type fixed struct{}

func (fixed) Effects() (uint32, bool) { return 1, true }

// open opens a database with so many records of the log, of 500 bytes each.
func open(tb testing.TB, records int) *pebble.DB {
	tb.Helper()
	db, err := pebble.Open("data", engine.Pebble(engine.Options{FS: vfs.NewMem(), Fatal: func(err error) { panic(err) }}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	random := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, 500)
	for n := range records {
		for i := 0; i+8 <= len(value); i += 16 { // compresses to about a half
			binary.LittleEndian.PutUint64(value[i:], random.Uint64())
		}
		if err := db.Set(format.AppendLogKey(nil, uint64(n+1)), value, pebble.NoSync); err != nil {
			tb.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		tb.Fatal(err)
	}
	return db
}

func newLedger(part int) *Ledger {
	l := New(func() func() { return func() {} })
	l.Part = part
	return l
}

// take takes a digest, and returns it once it is whole.
func take(l *Ledger, db *pebble.DB, index, after uint64) Digest {
	l.Take(db, index, after, fixed{})
	l.Wait()
	all := l.Digests()
	return all[len(all)-1]
}

// TestRounds: one digest after another reads the whole state, and then begins
// again. A server that has started meanwhile needs to be told where to go on.
func TestRounds(t *testing.T) {
	t.Parallel()
	db := open(t, 100)
	l, started := newLedger(10_000), newLedger(10_000)
	defer l.Stop()
	defer started.Stop()
	var starts []uint32
	var contents []string
	after := uint64(0)
	for index := uint64(1); ; index++ {
		d := take(l, db, index, after)
		if d.Content == "" || slices.Contains(contents, d.Content) {
			t.Fatalf("digest %d: got %+v", index, d)
		}
		if slices.Contains(starts, d.From) {
			t.Errorf("digest %d does not say that it begins elsewhere: got %+v", index, d)
		}
		contents, starts = append(contents, d.Content), append(starts, d.From)
		if got := take(started, db, index, after); index > 3 && got.Content != d.Content {
			t.Errorf("a server that has started: got %+v, want %+v", got, d)
		} else if index == 2 && got.Content != "" {
			t.Errorf("a server that does not know where the part begins: got %+v", got)
		}
		if index == 1 {
			started = newLedger(10_000)
		}
		if index == 3 {
			started.Adopt(index, d.Next)
		}
		if len(d.Next) == 0 {
			break
		}
		after = index
	}
	if len(contents) != 5 {
		t.Errorf("%d digests have read 50 kB, in parts of 10 kB", len(contents))
	}
	if d := take(l, db, 100, 0); d.Content != contents[0] {
		t.Errorf("the next round begins with %s, want %s", d.Content, contents[0])
	}
}

// TestNotice: a digest shows each change of the state, and of nothing else.
func TestNotice(t *testing.T) {
	t.Parallel()
	db := open(t, 10)
	l := newLedger(1 << 20)
	defer l.Stop()
	want := take(l, db, 1, 0).Content
	for n, c := range []struct {
		key, value string
		noticed    bool
	}{
		{"nstore", "name", false},
		{"s\x00\x00\x00\x01", "count", false},
		{"\x80", "", false},
		{"mformat", "3", true},
		{"mformat", "4", true},
		{"zzz", "", true},
	} {
		if err := db.Set([]byte(c.key), []byte(c.value), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		got := take(l, db, uint64(n+2), 0).Content
		if (got != want) != c.noticed {
			t.Errorf("%q = %q: noticed: %t, want %t", c.key, c.value, got != want, c.noticed)
		}
		want = got
	}
}

// TestKept: a ledger keeps the last digests only, and takes none after its end.
func TestKept(t *testing.T) {
	t.Parallel()
	db := open(t, 10)
	l := newLedger(1 << 20)
	for index := range uint64(Kept + 5) {
		take(l, db, index+1, 0)
	}
	if all := l.Digests(); len(all) != Kept || all[0].Index != 6 || all[Kept-1].Effects != 1 {
		t.Errorf("got %+v", all)
	}
	l.Stop()
	if d := take(l, db, 100, 0); d.Content != "" {
		t.Errorf("after the end: got %+v", d)
	}
}

// BenchmarkPart is the processor time of a part.
func BenchmarkPart(b *testing.B) {
	db := open(b, 100_000)
	l := newLedger(partBytes)
	defer l.Stop()
	for index := uint64(1); b.Loop(); index++ {
		snapshot := db.NewSnapshot()
		_, next := l.read(snapshot, nil)
		if len(next) == 0 {
			b.Fatal("there is less than a part")
		}
		_ = snapshot.Close()
	}
}
