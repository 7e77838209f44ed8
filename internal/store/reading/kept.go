package reading

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/format"
)

// Shortest returns the shortest of a customer's timelines, and another one. It
// returns 0 if the customer does not keep two. Cost: for each timeline, as many
// steps of an index as the shortest has entries.
func Shortest(v pebble.Reader, project uint32, c trackway.Customer) (from, to trackway.Customer, err error) {
	h, err := Survivor(v, project, c)
	if err != nil {
		return 0, 0, err
	}
	kept, err := Timelines(v, h)
	if err != nil || len(kept) < 3 {
		return 0, 0, err
	}
	kept = kept[1:]
	lines := make([]*pebble.Iterator, 0, len(kept))
	defer func() {
		for _, it := range lines {
			err = errors.Join(err, it.Error(), it.Close())
		}
	}()
	for _, owner := range kept {
		prefix := format.AppendTimelinePrefix(nil, owner)
		it, err := v.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
		if err != nil {
			return 0, 0, err
		}
		it.First()
		lines = append(lines, it)
	}
	for { // all advance in step, so the first to end is the shortest
		for i, it := range lines {
			if !it.Valid() {
				return kept[i], kept[(i+1)%len(kept)], nil
			}
			it.Next()
		}
	}
}

// Follower finds keys in ascending order. It moves its iterator only if it
// must: usually none of the keys lies among those of the iterator, and one
// search shows that.
type Follower struct {
	It    *pebble.Iterator
	began bool
}

// At reports whether the iterator is at a key. Errors are the iterator's.
func (f *Follower) At(key []byte) bool {
	if !f.began || f.It.Valid() && bytes.Compare(f.It.Key(), key) < 0 {
		f.began = true
		f.It.SeekGE(key)
	}
	return f.It.Valid() && bytes.Equal(f.It.Key(), key)
}
