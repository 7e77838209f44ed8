// Package overlay holds the writes of one transaction in memory on top of a
// database. Look-ups and iterators see both. A commit writes everything in an
// order that is fast for Pebble's memtable.
//
// Pebble's own indexed batch keeps its keys sorted at all times, but passes
// them to the memtable in the order of writing. An [Overlay] sorts once, at the
// commit. The memtable remembers where it inserted last, so keys that arrive
// sorted, table by table, cost it much less: see docs/performance.md.
//
// It makes no decisions, and is not safe for concurrent use.
package overlay

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/maphash"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/format"
)

const (
	// fewItems is how many items are searched one by one, without an index.
	fewItems = 8

	logKey = 9 // bytes of the key of a log record

	// A transaction with more than this returns its memory at the end.
	usualBytes = 1 << 20 // of keys and values
	usualItems = 1 << 14
)

// Overlay holds what a transaction has staged so far. It serves one transaction
// after another: [Overlay.Commit] or [Overlay.Reset] ends each. It copies the
// keys and values that it receives.
//
// Cost, once its memory has grown to what transactions need: no allocation, one
// copy of a log record, and two copies of anything else.
type Overlay struct {
	db *pebble.DB

	// Log records go directly into the batch to commit, because they come first
	// and in order there. Everything else becomes items.
	b     *pebble.Batch // nil until something is staged
	size  int           // of the batch before, for which the next one has room
	first uint64        // the sequence number of the first log record in b
	logs  []place       // the values of the log records in b, one for each number from first on
	// a log record is an item, since it was changed or deleted; all later ones
	// are items too
	stray bool

	// Entries of timelines that were new, in the order of staging. Nearly all
	// are, and nobody looks for them. They become items when somebody does, or
	// stages an entry that may not be new, and all later ones are items too.
	entries []item
	mixed   bool // there are entries of timelines among the items

	items  []item
	ranks  []rank   // of the items, while they are sorted
	data   []byte   // keys and values of both; overwritten values stay until the end
	index  []uint32 // a hash table of indexes into items, plus 1; empty up to fewItems
	filter [64]uint64
	seed   maphash.Seed

	ranges []*pebble.Batch // batches behind iterators

	sum     uint32 // of what was committed since the last call of Effects
	summing bool
}

// place is the position of a value in a batch.
type place struct{ from, to uint32 }

// item is a key, with its value or deleted.
type item struct {
	order uint64 // the first 8 bytes after the table, for fast comparison
	table byte   // 0: timelines, which come first
	hash  uint32
	key   place // in data; the value follows it
	value int32 // length of the value; -1: the key is deleted
	from  uint32
}

// rank stands for an item during sorting: it is small, and passed in registers.
type rank struct {
	order uint64
	table uint8
	at    uint32 // the item's index
}

// New returns an overlay on a database.
func New(db *pebble.DB) *Overlay { return &Overlay{db: db, seed: maphash.MakeSeed()} }

// Set stages a key and its value. Like the Set of a batch it has options and an
// error, but it ignores the options and returns nil.
func (o *Overlay) Set(key, value []byte, _ *pebble.WriteOptions) error {
	if !o.stray && len(key) == logKey && key[0] == format.TableLog {
		return o.SetLog(binary.BigEndian.Uint64(key[1:]), value, nil)
	}
	o.put(key, value, int32(len(value)))
	return nil
}

// SetLog stages a record of the log, in two parts: the caller need not join
// them.
func (o *Overlay) SetLog(seq uint64, head, rest []byte) error {
	if len(o.logs) == 0 {
		o.first = seq
	}
	if !o.stray && seq == o.first+uint64(len(o.logs)) {
		o.log(seq, head, rest)
		return nil
	}
	o.put(format.AppendLogKey(nil, seq), slices.Concat(head, rest), int32(len(head)+len(rest)))
	return nil
}

// SetEntry stages an entry of a timeline. REQUIRES: its key is not staged, and
// not in the database.
func (o *Overlay) SetEntry(key, value []byte) error {
	if o.mixed {
		o.put(key, value, int32(len(value)))
		return nil
	}
	o.entries = append(o.entries, o.newItem(key, value, int32(len(value))))
	return nil
}

// mix makes all entries of timelines items.
func (o *Overlay) mix() {
	o.mixed = true
	for _, it := range o.entries {
		it.hash = uint32(maphash.Bytes(o.seed, o.key(&it)))
		o.items = append(o.items, it)
		o.indexLast()
	}
	o.entries = o.entries[:0]
}

// Delete stages the deletion of a key. It ignores the options and returns nil.
func (o *Overlay) Delete(key []byte, _ *pebble.WriteOptions) error {
	o.put(key, nil, -1)
	return nil
}

func (o *Overlay) log(seq uint64, head, rest []byte) {
	if o.b == nil {
		o.b = o.db.NewBatch(pebble.WithInitialSizeBytes(o.size))
	}
	size := len(head) + len(rest)
	op := o.b.SetDeferred(logKey, size)
	_ = format.AppendLogKey(op.Key[:0], seq)
	copy(op.Value[copy(op.Value, head):], rest)
	end := o.b.Len()
	o.logs = append(o.logs, place{uint32(end - size), uint32(end)})
}

func (o *Overlay) put(key, value []byte, size int32) {
	hash := uint32(maphash.Bytes(o.seed, key))
	if it := o.find(key, hash); it != nil {
		it.from, it.value = uint32(len(o.data)), size
		o.data = append(o.data, value...)
		return
	}
	it := o.newItem(key, value, size)
	it.hash = hash
	o.items = append(o.items, it)
	o.stray = o.stray || key[0] == format.TableLog
	o.indexLast()
}

// newItem keeps a key and its value. The item has no hash yet.
func (o *Overlay) newItem(key, value []byte, size int32) item {
	it := item{order: order(key), table: key[0], value: size}
	if it.table == format.TableTimeline {
		it.table = 0
	}
	it.key.from = uint32(len(o.data))
	o.data = append(o.data, key...)
	it.key.to = uint32(len(o.data))
	it.from = it.key.to
	o.data = append(o.data, value...)
	word, bit := slot(key[0], it.order)
	o.filter[word] |= bit
	return it
}

// order returns the first 8 bytes of a key after its table as a number with the
// same sort order.
func order(key []byte) uint64 {
	if len(key) >= 9 {
		return binary.BigEndian.Uint64(key[1:])
	}
	var b [8]byte
	copy(b[:], key[1:])
	return binary.BigEndian.Uint64(b[:])
}

// slot returns the filter's bit for all keys with the same table and order.
func slot(table byte, order uint64) (word int, bit uint64) {
	h := (order ^ uint64(table)<<56) * 0x9e3779b97f4a7c15 >> 52
	return int(h >> 6), 1 << (h & 63)
}

// staged reports whether a key may be staged that begins as this one does.
func (o *Overlay) staged(key []byte) bool {
	word, bit := slot(key[0], order(key))
	return o.filter[word]&bit != 0
}

func (o *Overlay) indexLast() {
	switch n := len(o.items); {
	case n <= fewItems:
	case 2*n > len(o.index):
		o.index = slices.Grow(o.index[:0], 8*n)[:8*n]
		clear(o.index)
		for i := range o.items {
			o.enter(i)
		}
	default:
		o.enter(n - 1)
	}
}

func (o *Overlay) enter(i int) {
	at := int(o.items[i].hash % uint32(len(o.index)))
	for o.index[at] != 0 {
		if at++; at == len(o.index) {
			at = 0
		}
	}
	o.index[at] = uint32(i + 1)
}

// find returns the item of a key, or nil if there is no such item.
func (o *Overlay) find(key []byte, hash uint32) *item {
	if key[0] == format.TableTimeline && !o.mixed {
		if !o.staged(key) {
			return nil
		}
		o.mix()
	}
	if len(o.items) <= fewItems {
		for i := range o.items {
			if it := &o.items[i]; it.hash == hash && bytes.Equal(o.key(it), key) {
				return it
			}
		}
		return nil
	}
	for at := int(hash % uint32(len(o.index))); o.index[at] != 0; {
		if it := &o.items[o.index[at]-1]; it.hash == hash && bytes.Equal(o.key(it), key) {
			return it
		}
		if at++; at == len(o.index) {
			at = 0
		}
	}
	return nil
}

func (o *Overlay) key(it *item) []byte { return o.data[it.key.from:it.key.to] }

func (o *Overlay) value(it *item) []byte {
	end := it.from + uint32(max(it.value, 0))
	return o.data[it.from:end:end]
}

// Count returns the number of staged keys.
func (o *Overlay) Count() int { return len(o.logs) + len(o.entries) + len(o.items) }

// nothing is a closer that has nothing to close.
type nothing struct{}

func (nothing) Close() error { return nil }

// Get returns the value of a key, either staged or from the database. The
// caller must not change it. It is valid until the closer is closed or the
// transaction ends. Errors: [pebble.ErrNotFound]; those of the database.
func (o *Overlay) Get(key []byte) (value []byte, closer io.Closer, err error) {
	if it := o.find(key, uint32(maphash.Bytes(o.seed, key))); it != nil {
		if it.value < 0 {
			return nil, nil, pebble.ErrNotFound
		}
		return o.value(it), nothing{}, nil
	}
	if len(o.logs) > 0 && len(key) == logKey && key[0] == format.TableLog {
		if i := binary.BigEndian.Uint64(key[1:]) - o.first; i < uint64(len(o.logs)) {
			return o.logValue(int(i)), nothing{}, nil
		}
	}
	return o.db.Get(key)
}

func (o *Overlay) logValue(i int) []byte {
	return o.b.Repr()[o.logs[i].from:o.logs[i].to:o.logs[i].to]
}

// NewIter returns an iterator over what the database and the overlay hold at
// the time of the call. It must be closed before the transaction ends.
// REQUIRES: the options have both bounds. Cost: that of an iterator over the
// database. If a staged key begins as the bounds do, add a step for each staged
// key and an insertion for each one within the bounds.
func (o *Overlay) NewIter(options *pebble.IterOptions) (*pebble.Iterator, error) {
	low, high := options.LowerBound, options.UpperBound
	if !o.may(low, high) {
		return o.db.NewIter(options)
	}
	var b *pebble.Batch // the staged keys within the bounds
	stage := func(key, value []byte, deleted bool) error {
		if bytes.Compare(key, low) < 0 || bytes.Compare(key, high) >= 0 {
			return nil
		}
		if b == nil {
			b = o.db.NewIndexedBatch()
			o.ranges = append(o.ranges, b)
		}
		if deleted {
			return b.Delete(key, nil)
		}
		return b.Set(key, value, nil)
	}
	if low[0] <= format.TableLog && high[0] >= format.TableLog {
		for i := range o.logs {
			if err := stage(format.AppendLogKey(nil, o.first+uint64(i)), o.logValue(i), false); err != nil {
				return nil, err
			}
		}
	}
	if err := errors.Join(o.each(o.entries, stage), o.each(o.items, stage)); err != nil {
		return nil, err
	}
	if b == nil {
		return o.db.NewIter(options)
	}
	return b.NewIter(options)
}

// each calls do for items until it fails.
func (o *Overlay) each(items []item, do func(key, value []byte, deleted bool) error) error {
	for i := range items {
		it := &items[i]
		if err := do(o.key(it), o.value(it), it.value < 0); err != nil {
			return err
		}
	}
	return nil
}

// may reports whether a key within these bounds may be staged.
func (o *Overlay) may(low, high []byte) bool {
	if low[0] == format.TableLog || high[0] != low[0] || len(low) < 9 {
		return true
	}
	// Either all keys within the bounds begin as low does, or the filter cannot
	// tell.
	begins := order(low)
	if end := order(high); end != begins && (end != begins+1 || len(high) > 9) {
		return true
	}
	return o.staged(low)
}

// Commit commits what is staged as one batch and ends the transaction, even on
// failure. It writes log records first, in order, then the entries of
// timelines, then the rest. The last two are sorted by key. No key occurs twice
// except a log record that was written twice.
func (o *Overlay) Commit(options *pebble.WriteOptions) error {
	defer o.Reset()
	if err := o.finish(); err != nil {
		return err
	}
	return o.b.Commit(options)
}

// Effects returns a checksum of what was committed since the last call, without
// the keys that are not state. whole is false at the first call: only from then
// on does the overlay sum up anything.
func (o *Overlay) Effects() (sum uint32, whole bool) {
	sum, whole = o.sum, o.summing
	o.sum, o.summing = 0, true
	return sum, whole
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add adds a part of the batch to the checksum.
func (o *Overlay) add(from, to int) {
	if o.summing {
		o.sum = crc32.Update(o.sum, castagnoli, o.b.Repr()[from:to])
	}
}

// finish moves the items into the batch.
func (o *Overlay) finish() error {
	if o.b == nil {
		o.b = o.db.NewBatch(pebble.WithInitialSizeBytes(o.size))
	}
	o.items = append(o.items, o.entries...)
	o.entries = o.entries[:0]
	o.rank()
	const head = 12 // of a batch, for Pebble's own notes
	from := head    // of what is not summed up yet
	for i := range o.ranks {
		it := &o.items[o.ranks[i].at]
		before := o.b.Len()
		var err error
		if it.value < 0 {
			err = o.b.Delete(o.key(it), nil)
		} else {
			err = o.b.Set(o.key(it), o.value(it), nil)
		}
		if err != nil {
			return err
		}
		if it.table == format.TableNode {
			o.add(from, before)
			from = o.b.Len()
		}
	}
	o.add(from, o.b.Len())
	return nil
}

// rank sorts the items.
func (o *Overlay) rank() {
	o.ranks = o.ranks[:0]
	for i := range o.items {
		o.ranks = append(o.ranks, rank{o.items[i].order, o.items[i].table, uint32(i)})
	}
	slices.SortFunc(o.ranks, o.compare)
}

// compare sorts the entries of timelines before all other items. It reads the
// keys only if the ranks' own fields are equal.
func (o *Overlay) compare(a, b rank) int {
	if a.table != b.table {
		return cmp.Compare(a.table, b.table)
	}
	if a.order != b.order {
		return cmp.Compare(a.order, b.order)
	}
	return bytes.Compare(o.key(&o.items[a.at]), o.key(&o.items[b.at]))
}

// Reset drops what is staged. It does not affect committed transactions.
func (o *Overlay) Reset() {
	for i, b := range o.ranges {
		_ = b.Close() // releases memory
		o.ranges[i] = nil
	}
	if o.b != nil {
		o.size = min(o.b.Len(), usualBytes)
		_ = o.b.Close()
		o.b = nil
	}
	o.ranges, o.logs, o.items, o.data, o.index = o.ranges[:0], o.logs[:0], o.items[:0], o.data[:0], o.index[:0]
	o.entries, o.mixed = o.entries[:0], false
	o.filter, o.stray = [64]uint64{}, false
	if cap(o.data) > usualBytes {
		o.data = nil
	}
	if cap(o.items) > usualItems || cap(o.logs) > usualItems || cap(o.entries) > usualItems {
		o.items, o.ranks, o.logs, o.index, o.entries = nil, nil, nil, nil, nil
	}
}
