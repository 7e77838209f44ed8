package reading_test

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

type counting struct {
	pebble.Reader

	scans int
}

func (c *counting) NewIter(o *pebble.IterOptions) (*pebble.Iterator, error) {
	c.scans++
	return c.Reader.NewIter(o)
}

// TestEntry: an entry is found on any of its customer's timelines, even if a
// collision has moved it. Without a collision, the search does not look at the
// entries of other events of the same time: a stranger can make many of these.
func TestEntry(t *testing.T) {
	t.Parallel()
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	set := func(key, value []byte) {
		t.Helper()
		if err := db.Set(key, value, nil); err != nil {
			t.Fatal(err)
		}
	}
	const hash = format.HashTail | 77
	set(format.AppendCustomerKey(nil, 1, 1), format.AppendHolder(nil, &identity.Holder{Customer: 1, Absorbed: 1}))
	set(format.AbsorbedKey(1, 2), nil)
	for seq := range uint64(100) { // of the same time, on the customer's own timeline
		set(format.AppendTimelineKey(nil, 1, 5, format.HashTail|seq<<8|1), binary.AppendUvarint(nil, 1000+seq))
	}
	for name, test := range map[string]struct {
		tail  uint64
		scans int
	}{
		"at its hash":            {hash, 1},
		"at its sequence number": {7, 1},
		"behind a collision":     {hash + 3, 3},
	} {
		key := format.AppendTimelineKey(nil, 2, 5, test.tail)
		set(key, binary.AppendUvarint(nil, 7))
		from := &counting{Reader: db}
		got, err := reading.Entry(from, &trackway.Event{Seq: 7, Project: 1, Customer: 1, Time: 5}, hash)
		if err != nil || string(got) != string(key) || from.scans != test.scans {
			t.Errorf("%s: got %x with %d scans, %v; want %x with %d", name, got, from.scans, err, key, test.scans)
		}
		if err := db.Delete(key, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// nobody discards what the database logs.
type nobody struct{}

func (nobody) Infof(string, ...any)  {}
func (nobody) Errorf(string, ...any) {}
func (nobody) Fatalf(string, ...any) {}
