package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/allocs"
	"trackway/internal/store/format"
)

func open(t testing.TB) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil { // Close fails if an iterator or a batch is still in use
			t.Error(err)
		}
	})
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// randomKey returns one of a few keys of each table, so that keys repeat.
func randomKey(r *rand.Rand, next *uint64) []byte {
	c := trackway.Customer(r.IntN(6))
	switch r.IntN(8) {
	case 0:
		*next++
		return format.AppendLogKey(nil, *next)
	case 1:
		return format.AppendLogKey(nil, uint64(r.IntN(20)))
	case 2, 3:
		return format.AppendTimelineKey(nil, c, trackway.Micros(r.IntN(4)), uint64(r.IntN(3)))
	case 4:
		return format.AppendPropKey(nil, c, []string{"", "a", "ab", "b\x00"}[r.IntN(4)])
	case 5:
		return format.AbsorbedKey(c, trackway.Customer(r.IntN(3)))
	case 6:
		return []byte([]string{"m", "mapplied", "mproject/a", "mproject/b", "u", "v\xff\xff\xff\xff\xff\xff\xff\xff\xff"}[r.IntN(6)])
	}
	return format.AppendIDKey(nil, 1, trackway.Identifier{Name: "n", Value: string(rune('a' + r.IntN(5)))})
}

// randomBounds returns bounds as the store uses them, or arbitrary ones.
func randomBounds(r *rand.Rand) (low, high []byte) {
	c := trackway.Customer(r.IntN(6))
	switch r.IntN(7) {
	case 0:
		low = format.AppendTimelinePrefix(nil, c)
	case 1:
		low = format.AppendTimelineKey(nil, c, trackway.Micros(r.IntN(4)), 0)[:17]
	case 2:
		low = format.AppendPropsPrefix(nil, c)
	case 3:
		low = format.AppendAbsorbedPrefix(nil, c)
	case 4:
		low = []byte(format.PrefixProject)
	case 5:
		low = []byte{format.TableLog}
	default:
		var none uint64
		low, high = randomKey(r, &none), randomKey(r, &none)
		if bytes.Compare(low, high) > 0 {
			low, high = high, low
		}
		return low, high
	}
	return low, format.After(low)
}

// got describes the result of a look-up.
func got(value []byte, closer interface{ Close() error }, err error) string {
	if err != nil {
		return err.Error()
	}
	defer func() { _ = closer.Close() }()
	return string(value)
}

// walked lists what an iterator visits.
func walked(t *testing.T, it *pebble.Iterator, err error, forward bool, seek []byte) (all []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	start, step := it.First, it.Next
	if !forward {
		start, step = it.Last, it.Prev
	}
	for ok := start(); ok; ok = step() {
		all = append(all, fmt.Sprintf("%q=%q", it.Key(), it.Value()))
	}
	if it.SeekGE(seek) {
		all = append(all, fmt.Sprintf("from %q: %q=%q", seek, it.Key(), it.Value()))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

func contents(t *testing.T, db *pebble.DB) []string {
	t.Helper()
	it, err := db.NewIter(nil)
	return walked(t, it, err, true, []byte{0xff})
}

// TestDifferential: an overlay shows and commits the same as an indexed batch
// of Pebble.
func TestDifferential(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		one, other := open(t), open(t)
		o := New(one)
		next := uint64(100)
		for range 1 + r.IntN(4) {
			b := other.NewIndexedBatch()
			for range r.IntN(1 << r.IntN(8)) {
				step(t, r, o, b, &next)
			}
			end := errors.Join(b.Commit(pebble.NoSync), b.Close())
			if r.IntN(4) == 0 { // reset drops what was staged
				more := []byte("more")
				if err := errors.Join(end, o.Commit(pebble.NoSync), o.Set(more, more, nil), o.Set(format.AppendLogKey(nil, 7), more, nil)); err != nil {
					t.Fatal(err)
				}
				o.Reset()
			} else if err := errors.Join(end, o.Commit(pebble.NoSync)); err != nil {
				t.Fatal(err)
			}
			if got, want := contents(t, one), contents(t, other); !slices.Equal(got, want) {
				t.Fatalf("seed %d: committed %v, want %v", seed, got, want)
			}
		}
	}
}

func step(t *testing.T, r *rand.Rand, o *Overlay, b *pebble.Batch, next *uint64) {
	t.Helper()
	key := randomKey(r, next)
	switch r.IntN(8) {
	case 0:
		if err := errors.Join(o.Delete(key, nil), b.Delete(key, nil)); err != nil {
			t.Fatal(err)
		}
	case 1, 2, 3:
		value := binary.AppendUvarint(nil, r.Uint64N(1<<r.IntN(60)))[r.IntN(2):]
		var err error
		if key[0] == format.TableLog && r.IntN(2) == 0 {
			head := value[:r.IntN(len(value)+1)]
			err = o.SetLog(binary.BigEndian.Uint64(key[1:]), head, value[len(head):])
		} else {
			err = o.Set(key, value, nil)
		}
		if err := errors.Join(err, b.Set(key, value, nil)); err != nil {
			t.Fatal(err)
		}
	case 4:
		v1, c1, err1 := o.Get(key)
		v2, c2, err2 := b.Get(key)
		if got, want := got(v1, c1, err1), got(v2, c2, err2); got != want {
			t.Fatalf("%q: got %q, want %q", key, got, want)
		}
	case 6, 7:
		*next++
		key := format.AppendTimelineKey(nil, trackway.Customer(r.IntN(6)), trackway.Micros(r.IntN(4)), *next)
		if err := errors.Join(o.SetEntry(key, []byte("new")), b.Set(key, []byte("new"), nil)); err != nil {
			t.Fatal(err)
		}
		if r.IntN(4) == 0 { // some are changed later
			if err := errors.Join(o.Set(key, nil, nil), b.Set(key, nil, nil)); err != nil {
				t.Fatal(err)
			}
		}
	case 5:
		low, high := randomBounds(r)
		i1, err1 := o.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		i2, err2 := b.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		forward := r.IntN(2) == 0
		if got, want := walked(t, i1, err1, forward, key), walked(t, i2, err2, forward, key); !slices.Equal(got, want) {
			t.Fatalf("from %q to %q: got %v, want %v", low, high, got, want)
		}
	}
}

// TestIteratorStays: an iterator shows what was staged when it was opened, so
// that its user may write meanwhile.
func TestIteratorStays(t *testing.T) {
	t.Parallel()
	o := New(open(t))
	prefix := format.AppendPropsPrefix(nil, 1)
	for _, name := range []string{"a", "b", "c"} {
		if err := o.Set(format.AppendPropKey(nil, 1, name), []byte(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	it, err := o.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
		if err := errors.Join(o.Delete(it.Key(), nil), o.Set(append(slices.Clone(it.Key()), 'x'), nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(it.Error(), it.Close()); n != 3 || err != nil {
		t.Errorf("walked over %d keys, %v; want 3", n, err)
	}
	o.Reset()
}

// TestOrder: the batch contains the log first, then the timelines, then the
// rest. Each part is sorted, and has each key once.
func TestOrder(t *testing.T) {
	t.Parallel()
	o := New(open(t))
	r := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	for seq := range uint64(20) {
		want = append(want, format.AppendLogKey(nil, 5+seq))
	}
	var lines, rest [][]byte
	for i := range 300 {
		lines = append(lines, format.AppendTimelineKey(nil, trackway.Customer(r.IntN(5)), trackway.Micros(i), r.Uint64()))
		rest = append(rest, format.AppendCustomerKey(nil, 1, trackway.Customer(i)), format.AppendPropKey(nil, trackway.Customer(i), "name"))
	}
	staged := slices.Concat(want, lines, rest)
	slices.SortFunc(lines, bytes.Compare)
	slices.SortFunc(rest, bytes.Compare)
	want = slices.Concat(want, lines, rest)
	r.Shuffle(len(staged)-20, func(i, j int) { staged[20+i], staged[20+j] = staged[20+j], staged[20+i] })
	for _, again := range [][][]byte{staged, staged[20:]} {
		for _, key := range again {
			if err := o.Set(key, key, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := o.finish(); err != nil {
		t.Fatal(err)
	}
	var have [][]byte
	for changes := o.b.Reader(); ; {
		_, key, _, ok, err := changes.Next()
		if err != nil {
			t.Fatal(err)
		} else if !ok {
			break
		}
		have = append(have, key)
	}
	if !slices.EqualFunc(have, want, bytes.Equal) {
		t.Errorf("got %q, want %q", have, want)
	}
	o.Reset()
}

func TestNoAllocation(t *testing.T) {
	o := New(open(t))
	var key []byte
	value := make([]byte, 20)
	n := 0
	if got := allocs.PerRun(20, func() {
		for range 200 {
			n++
			key = format.AppendTimelineKey(key[:0], trackway.Customer(n*7919%31), trackway.Micros(n), uint64(n))
			_ = o.Set(key, value, nil)
			if _, _, err := o.Get(key); err != nil {
				t.Fatal(err)
			}
		}
		o.rank()
		o.Reset()
	}); got > 0 {
		t.Errorf("%v allocations for 200 keys, want none", got)
	}
}
