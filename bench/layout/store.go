package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// The tables: the first byte of a key.
const (
	tableEvents   = 'e' // customer, time, hash → payload (customer layout)
	tableIDs      = 'i' // identifier → customer
	tableLog      = 'l' // seq → payload (log layout), or the event's key (customer layout)
	tableTimeline = 't' // customer, time, hash → seq (log layout)
)

const pageOfTimeline = 100 // events that one read of a timeline returns

// store is one variant on one directory. It is for one writer, or for any number of readers each with its own reader.
type store struct {
	variant
	db        *pebble.DB
	seq       uint64 // of the last event
	customers uint64 // numbers given out
	id        []byte
	index     []byte
	payload   []byte
	logKey    [9]byte
}

func openStore(dir string, v variant, cacheBytes int64, readOnly bool, s *stalls) (*store, error) {
	o := v.options(cacheBytes, s)
	o.ReadOnly = readOnly
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return &store{variant: v, db: db}, nil
}

// add writes one event as the server would: whose is it, is it a copy, then one batch. It is not synced.
func (s *store) add(e *event) (duplicate bool, err error) {
	batch := s.db.NewBatch()
	defer batch.Close() //nolint:errcheck // an uncommitted batch holds nothing
	customer, err := s.customer(batch, e.person)
	if err != nil {
		return false, err
	}
	s.index = s.appendIndexKey(s.index[:0], customer, e)
	switch known, err := s.has(s.index); {
	case err != nil:
		return false, err
	case known:
		return true, nil
	}
	s.seq++
	s.logKey[0] = tableLog
	binary.BigEndian.PutUint64(s.logKey[1:], s.seq)
	s.payload = appendPayload(s.payload[:0], customer, e)
	if err := s.put(batch); err != nil {
		return false, err
	}
	return false, batch.Commit(pebble.NoSync)
}

func (s *store) put(batch *pebble.Batch) error {
	if s.variant.customer {
		return errors.Join(batch.Set(s.index, s.payload, nil), batch.Set(s.logKey[:], s.index[1:], nil))
	}
	var seq [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(seq[:], s.seq)
	return errors.Join(batch.Set(s.logKey[:], s.payload, nil), batch.Set(s.index, seq[:n], nil))
}

// customer resolves a person's cookie; a new one gets the next number.
func (s *store) customer(batch *pebble.Batch, person uint64) (uint64, error) {
	s.id = appendIDKey(s.id[:0], person)
	switch customer, err := lookUp(s.db, s.id); {
	case err == nil:
		return customer, nil
	case !errors.Is(err, pebble.ErrNotFound):
		return 0, err
	}
	s.customers++
	return s.customers, batch.Set(s.id, binary.AppendUvarint(nil, s.customers), nil)
}

func (s *store) has(key []byte) (bool, error) {
	_, c, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, c.Close()
}

func (s *store) appendIndexKey(b []byte, customer uint64, e *event) []byte {
	table := byte(tableTimeline)
	if s.variant.customer {
		table = tableEvents
	}
	b = binary.BigEndian.AppendUint64(append(b, table), customer)
	b = binary.BigEndian.AppendUint64(b, e.time)
	return binary.BigEndian.AppendUint64(b, e.hash())
}

func appendIDKey(b []byte, person uint64) []byte {
	return appendCookie(append(b, tableIDs, 1, 0, 1), person) // project 1, identifier 1
}

func appendPayload(b []byte, customer uint64, e *event) []byte {
	b = append(b, 1, 1) // version of the record, project
	b = binary.AppendUvarint(b, customer)
	b = binary.AppendUvarint(b, e.time)
	b = binary.AppendVarint(b, int64(e.received-e.time))
	b = append(append(b, byte(len(e.typ))), e.typ...)
	return append(b, e.props...)
}

func lookUp(db pebble.Reader, key []byte) (uint64, error) {
	value, c, err := db.Get(key)
	if err != nil {
		return 0, err
	}
	n, _ := binary.Uvarint(value)
	return n, c.Close()
}

// timeline reads the newest events of a customer and returns how many bytes they are. Each is checked to be the customer's.
func (s *store) timeline(customer uint64, byGet bool) (total int, err error) {
	if s.variant.customer {
		return s.eventsOf(customer)
	}
	seqs, err := s.seqsOf(customer)
	if err != nil {
		return 0, err
	}
	// In the log's order the iterator goes forward only, and finds what shares a block with the last one without a search.
	sort.Slice(seqs, func(i, j int) bool { return seqs[i] < seqs[j] })
	read := s.seek
	if byGet {
		read = s.gets
	}
	return read(seqs, customer)
}

func (s *store) bounds(table byte, customer uint64) *pebble.IterOptions {
	return &pebble.IterOptions{
		LowerBound: binary.BigEndian.AppendUint64([]byte{table}, customer),
		UpperBound: binary.BigEndian.AppendUint64([]byte{table}, customer+1),
	}
}

func (s *store) eventsOf(customer uint64) (total int, err error) {
	it, err := s.db.NewIter(s.bounds(tableEvents, customer))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for ok := it.Last(); ok && n < pageOfTimeline; ok = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, err
		}
		if err := check(value, customer); err != nil {
			return 0, err
		}
		n, total = n+1, total+len(value)
	}
	return total, full(n)
}

func (s *store) seqsOf(customer uint64) (seqs []uint64, err error) {
	it, err := s.db.NewIter(s.bounds(tableTimeline, customer))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.Last(); ok && len(seqs) < pageOfTimeline; ok = it.Prev() {
		seq, _ := binary.Uvarint(it.Value())
		seqs = append(seqs, seq)
	}
	return seqs, full(len(seqs))
}

func (s *store) seek(seqs []uint64, customer uint64) (total int, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableLog}, UpperBound: []byte{tableLog + 1}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	key := [9]byte{tableLog}
	for _, seq := range seqs {
		binary.BigEndian.PutUint64(key[1:], seq)
		if !it.SeekGE(key[:]) || !bytes.Equal(it.Key(), key[:]) {
			return 0, fmt.Errorf("event %d is not in the log", seq)
		}
		if err := check(it.Value(), customer); err != nil {
			return 0, err
		}
		total += len(it.Value())
	}
	return total, nil
}

func (s *store) gets(seqs []uint64, customer uint64) (total int, err error) {
	key := [9]byte{tableLog}
	for _, seq := range seqs {
		binary.BigEndian.PutUint64(key[1:], seq)
		value, c, err := s.db.Get(key[:])
		if err != nil {
			return 0, err
		}
		total += len(value)
		if err := errors.Join(check(value, customer), c.Close()); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func check(payload []byte, customer uint64) error {
	if got, _ := binary.Uvarint(payload[2:]); got != customer {
		return fmt.Errorf("an event of customer %d in the timeline of %d", got, customer)
	}
	return nil
}

func full(n int) error {
	if n < pageOfTimeline {
		return fmt.Errorf("a timeline of %d events; %d expected", n, pageOfTimeline)
	}
	return nil
}

// scan reads the log in order from seq on, at most limit events, with their payloads.
func (s *store) scan(from uint64, limit int) (n int, err error) {
	lower := binary.BigEndian.AppendUint64([]byte{tableLog}, from)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{tableLog + 1}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && n < limit; ok = it.Next() {
		value := it.Value()
		if s.variant.customer {
			if err := s.follow(value); err != nil {
				return n, err
			}
		}
		n++
	}
	return n, it.Error()
}

// follow reads the event that the log of the customer layout points to.
func (s *store) follow(key []byte) error {
	s.index = append(append(s.index[:0], tableEvents), key...)
	_, c, err := s.db.Get(s.index)
	if err != nil {
		return err
	}
	return c.Close()
}
