package cache

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

const (
	usedPart    = 3   // bytes of the set in hundredths of those of the cache
	learnAtOnce = 512 // identifiers that are learned under one hold of the lock
)

// Used is the set of all identifiers that customers have or had, whether or not
// the cache has them. New customers are so usual that their identifiers must
// cost no look-up. The set may report identifiers that it does not hold, and
// reports more of them if it holds more than it has room for.
//
// It is used under the store's lock.
type Used struct {
	filter   filter
	secret   ids
	complete bool // no identifier is missing

	end  context.CancelFunc
	done sync.WaitGroup
}

// NewUsed returns a set for a store whose cache has the given size in bytes.
func NewUsed(bytes int64) *Used {
	return &Used{filter: newFilter(min(bytes*usedPart/100, mostFilters)), secret: newIDs(0), end: func() {}}
}

// Misses reports whether certainly no customer has the identifier with this
// key. It is false until all identifiers are learned.
func (u *Used) Misses(key []byte) bool { return u.complete && !u.filter.has(u.hash(key)) }

// Add adds the identifier with this key.
func (u *Used) Add(key []byte) { u.filter.add(u.hash(key)) }

// hash needs no lock.
func (u *Used) hash(key []byte) uint64 { return u.secret.hash(key)[0] }

// Learn begins to add all keys of a database that begin with a byte. lock
// guards the set. The code that writes such a key calls [Used.Add] from now on.
// left is called at the end. If a key cannot be read, the set stays incomplete.
func (u *Used) Learn(db *pebble.DB, table byte, lock sync.Locker, left func()) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		left()
		return
	}
	ctx, end := context.WithCancel(context.Background())
	u.end = end
	u.done.Go(func() {
		defer left()
		complete := u.read(ctx, it, lock)
		if it.Close() == nil && complete {
			lock.Lock()
			defer lock.Unlock()
			u.complete = true
		}
	})
}

// read adds what an iterator visits, and reports whether that is everything.
func (u *Used) read(ctx context.Context, it *pebble.Iterator, lock sync.Locker) bool {
	learned := make([]uint64, 0, learnAtOnce)
	add := func() {
		lock.Lock()
		defer lock.Unlock()
		for _, h := range learned {
			u.filter.add(h)
		}
		learned = learned[:0]
	}
	for ok := it.First(); ok; ok = it.Next() {
		if learned = append(learned, u.hash(it.Key())); len(learned) == learnAtOnce {
			if add(); ctx.Err() != nil {
				return false
			}
		}
	}
	add()
	return true
}

// Stop ends the learning, and waits until it has ended. Call it before the
// database is closed, and without the lock.
func (u *Used) Stop() {
	u.end()
	u.done.Wait()
}
