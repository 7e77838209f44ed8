package engine

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// readers is how many parts of a database are read at the same time. Most of
// the time goes into decompression, and a server has other work.
const readers = 2

// ReadAll reads all keys and values of a database, which verifies the checksum
// of each block.
func ReadAll(ctx context.Context, db *pebble.DB) error {
	cuts, err := parts(db)
	if err != nil {
		return err
	}
	failed := make([]error, len(cuts)+1)
	var reading sync.WaitGroup
	var from []byte // nil: from the first key
	for i, to := range append(cuts, nil) {
		part := pebble.IterOptions{LowerBound: from, UpperBound: to}
		reading.Go(func() { failed[i] = readPart(ctx, db, &part) })
		from = to
	}
	reading.Wait()
	return errors.Join(failed...)
}

// parts returns keys that cut the database into parts with about as much to
// read. There are fewer of them if there are few tables.
func parts(db *pebble.DB) (cuts [][]byte, err error) {
	levels, err := db.SSTables()
	if err != nil {
		return nil, err
	}
	tables, total := slices.Concat(levels...), uint64(0)
	slices.SortFunc(tables, func(a, b pebble.SSTableInfo) int { return slices.Compare(a.Smallest.UserKey, b.Smallest.UserKey) })
	for i := range tables {
		total += tables[i].Size
	}
	before := uint64(0) // bytes
	for i := range tables {
		key := tables[i].Smallest.UserKey
		if before*readers >= total*uint64(len(cuts)+1) && len(key) > 0 && (len(cuts) == 0 || slices.Compare(cuts[len(cuts)-1], key) < 0) {
			cuts = append(cuts, key)
		}
		before += tables[i].Size
	}
	return cuts, nil
}

func readPart(ctx context.Context, db *pebble.DB, part *pebble.IterOptions) error {
	it, err := db.NewIter(part)
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && ctx.Err() == nil; it.Next() {
		if _, err := it.ValueAndErr(); err != nil {
			break // it.Error returns it, too
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
