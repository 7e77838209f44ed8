package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// Result is what [Check] found in a log.
type Result struct {
	Intact int64 // bytes from the beginning that are chunks without a gap
	Whole  int64 // of these, bytes up to the end of the last complete record
	Damage error // why something that was synced is missing; nil if nothing is
	Torn   bool  // behind a gap there are chunks that may never have been synced
}

// Check looks whether a log holds all that was synced to it. data is the log's
// file, known is the newest mark from elsewhere, last says that no newer log is
// there: only that one may end without a trailer. It takes as long as reading.
//
// Something that was synced is missing if
//   - known, or a mark or Pebble's own offset in an intact chunk behind the gap,
//     says that the log was synced further than it is intact, or
//   - a newer log is there, and this one has no trailer.
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

// walk follows the chunks of a log from its beginning and says what is at the
// end of the intact ones.
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

// behind calls do for each intact chunk of a log from an offset on, wherever it
// is: what is in front of it may say a wrong length.
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

// markIn returns the offset of the mark that a chunk holds as a record, 0 if it
// holds none, or another log's.
func markIn(c chunk, log uint64) uint64 {
	const kind, length = batchrepr.HeaderLen, batchrepr.HeaderLen + 1 // 1: of Pebble's "log data"
	if c.position != positionFull || len(c.payload) != length+1+MarkLen || c.payload[kind] != 3 || c.payload[length] != MarkLen {
		return 0
	}
	if m, ok := DecodeMark(c.payload[length+1:]); ok && m.Log == log {
		return m.Offset
	}
	return 0
}

// Records calls do for the key and value of each change in the complete records
// of a log from an offset on that can still be read, and returns how many
// records there are. Both are valid only during the call.
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

// follows reports whether a chunk at to comes right after one that ended at
// from: what does not fit into a block is padded.
func follows(from, to int) bool {
	return from == to || to%blockSize == 0 && to-from < syncedHeader && to > from
}
