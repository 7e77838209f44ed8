package traffic

import "sync"

const (
	shards = 16
	// maxRows bounds the rows between two visits to the shards, a second apart.
	// They take about 10 MB, filled or not, and only while they are needed. If
	// there are more callers in a second, some are not recorded.
	maxRows = 1 << 14
)

// key identifies a row.
type key struct {
	second int64
	addr   uint64 // an IPv4 address as clientip encodes it, or the first half of an IPv6 one
	v6     bool
	kind   Kind // contains the project's token until it is written
}

func (k *key) shard() int {
	const phi = 0x9e3779b97f4a7c15 // 2⁶⁴/φ, odd: it spreads near values
	return int((k.addr * phi) >> 60)
}

// counts holds the numbers of a row.
type counts struct {
	calls, back uint32
	first, last uint16 // milliseconds of the second
}

// shard holds a share of the callers, so that concurrent calls rarely wait for
// each other.
type shard struct {
	mu         sync.Mutex    // guards the fields below; nothing waits under it
	index      map[key]int32 // index into counts
	counts     []counts
	unrecorded uint64 // calls that did not fit

	spareIndex  map[key]int32 // The emptied buffers are for the next swap. Only drain uses them.
	spareCounts []counts

	_ [64]byte // keeps two shards off the same cache line
}

func (s *shard) add(k *key, ms uint16, calls, back uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[*k]
	if !ok {
		if len(s.counts) == maxRows/shards {
			s.unrecorded += uint64(calls)
			return
		}
		if s.index == nil {
			s.index = make(map[key]int32)
		}
		i = int32(len(s.counts))
		s.index[*k] = i
		s.counts = append(s.counts, counts{first: ms, last: ms})
	}
	c := &s.counts[i]
	c.calls += calls
	c.back += back
	c.first, c.last = min(c.first, ms), max(c.last, ms)
}

// drain appends the rows to rows and returns how many calls were not recorded.
// Only one drain may run at a time.
func (s *shard) drain(rows []row) (all []row, unrecorded uint64) {
	s.mu.Lock()
	index, filled := s.index, s.counts
	s.index, s.counts = s.spareIndex, s.spareCounts
	unrecorded, s.unrecorded = s.unrecorded, 0
	s.mu.Unlock()
	for k, i := range index {
		rows = append(rows, row{k, filled[i]})
	}
	clear(index)
	s.spareIndex, s.spareCounts = index, filled[:0]
	return rows, unrecorded
}

// clear forgets all calls.
func (s *shard) clear() { s.drain(nil) }

// row is a row on its way to the disk.
type row struct {
	key
	counts
}
