package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// Result is the finding of [Check].
type Result struct {
	Intact int64 // bytes from the beginning of the log that are chunks without a gap
	Whole  int64 // bytes of these up to the end of the last complete record
	Damage error // why something that was synced is missing; nil if nothing is
	Torn   bool  // chunks that may never have been synced follow a gap
}

// Check verifies that a log holds everything that was synced to it. data is the
// log's file, known is the newest mark from elsewhere, and last says that no
// newer log exists. Only the last log may end without a trailer. Check takes as
// long as reading the data.
//
// Something that was synced is missing if
//   - known, or a mark or Pebble's own offset in an intact chunk after the
//     gap, says that the log was synced beyond its intact part, or
//   - a newer log exists and this one has no trailer.
func Check(data []byte, log uint64, known Mark, last bool) Result {
	r, end := walk(data, log)
	if known.Log == log && known.Offset > uint64(r.Intact) {
		r.Damage = fmt.Errorf("it is intact up to byte %d only, of %d that were synced", r.Intact, known.Offset)
		return r
	}
	switch {
	case end == trailer:
		return r
	case !last:
		r.Damage = fmt.Errorf("it is intact up to byte %d, and does not end there", r.Intact)
		return r
	}
	synced := uint64(0)
	behind(data, log, int(r.Intact), func(c chunk) {
		r.Torn = true
		synced = max(synced, c.synced, markIn(c, log))
	})
	if synced > uint64(r.Intact) {
		r.Damage = fmt.Errorf("it is intact up to byte %d only, of at least %d that were synced", r.Intact, synced)
	}
	return r
}

// walk follows the chunks of a log from its beginning. It returns what follows
// the last intact one.
func walk(data []byte, log uint64) (r Result, end verdict) {
	inside := false // a record
	for offset := 0; ; {
		v, c := at(data, offset, log)
		switch {
		case v == padding:
			offset += blockSize - offset%blockSize
			offset = min(offset, len(data))
			r.Intact = int64(offset)
			continue
		case v != chunkHere:
			if v == trailer && inside {
				return r, invalid
			} else if v == trailer {
				r.Intact += numberHeader
			}
			return r, v
		case inside == (c.position == positionFull || c.position == positionFirst):
			return r, invalid
		}
		offset = c.to
		r.Intact = int64(offset)
		inside = c.position != positionFull && c.position != positionLast
		if !inside {
			r.Whole = r.Intact
		}
	}
}

// behind calls do for each intact chunk of a log from an offset on. It tries
// every offset, since the data in front of a chunk may give a wrong length.
func behind(data []byte, log uint64, offset int, do func(chunk)) {
	for offset+numberHeader <= len(data) {
		if header, _ := form(data[offset+6]); header > legacyHeader {
			if v, c := at(data, offset, log); v == chunkHere {
				do(c)
				offset = c.to
				continue
			}
		}
		offset++
	}
}

// markIn returns the offset of the mark that a chunk holds as a record. It
// returns 0 if the chunk holds no mark or that of another log.
func markIn(c chunk, log uint64) uint64 {
	// 1: the tag of Pebble's "log data"
	const kind, length = batchrepr.HeaderLen, batchrepr.HeaderLen + 1
	if c.position != positionFull || len(c.payload) != length+1+MarkLen || c.payload[kind] != 3 || c.payload[length] != MarkLen {
		return 0
	}
	if m, ok := DecodeMark(c.payload[length+1:]); ok && m.Log == log {
		return m.Offset
	}
	return 0
}

// Records calls do for each change in the complete records of a log that are
// still readable from an offset on. It returns the number of these records. The
// key and the value are valid only during the call.
func Records(data []byte, log uint64, from int64, do func(key, value []byte)) (n int) {
	var record []byte
	inside := false
	next := 0
	behind(data, log, int(from), func(c chunk) {
		first := c.position == positionFull || c.position == positionFirst
		if !first && (!inside || !follows(next, c.from)) {
			inside = false
			return
		}
		if first {
			record = record[:0]
		}
		record = append(record, c.payload...)
		next = c.to
		if inside = c.position != positionFull && c.position != positionLast; inside {
			return
		}
		if len(record) < batchrepr.HeaderLen || binary.LittleEndian.Uint32(record[8:]) == 0 {
			return // a mark
		}
		n++
		changes := batchrepr.Read(record)
		for {
			_, key, value, ok, err := changes.Next()
			if !ok || err != nil {
				return
			}
			do(key, value)
		}
	})
	return n
}

// follows reports whether a chunk at to directly follows one that ended at
// from. The end of a block is padded if no header fits into it.
func follows(from, to int) bool {
	return from == to || to%blockSize == 0 && to-from < syncedHeader && to > from
}
