package kafka

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Each record has one header, which says what it is: the id of the log, its
// base, the kind of the record, how many partitions the data has, and the name
// of the cluster. So whatever is left of the log tells which one it is.
const (
	headerKey = "trackway"
	logBytes  = 16
	headBytes = logBytes + 8 + 2
)

// The kinds of record.
const (
	kindBegin = 'b' // the first one of a log
	kindEntry = 'e' // an entry
	kindClaim = 'c' // its server leads from now on: JSON of a [claim]
	kindMark  = 'm' // nothing: it has an index
)

// head is what the header of a record says.
type head struct {
	log  string // hex
	base uint64
	kind byte
	of   byte   // how many partitions the data has
	name string // of the cluster
}

func (h *head) header() kgo.RecordHeader {
	b := make([]byte, logBytes, headBytes+len(h.name))
	_, _ = hex.Decode(b, []byte(h.log)) // this package has encoded it
	b = append(binary.BigEndian.AppendUint64(b, h.base), h.kind, h.of)
	return kgo.RecordHeader{Key: headerKey, Value: append(b, h.name...)}
}

// headOf returns what a record says of itself, or false if it is not of a log.
func headOf(r *kgo.Record) (h head, ok bool) {
	if r.Attrs.IsControl() || len(r.Headers) != 1 || r.Headers[0].Key != headerKey {
		return h, false
	}
	b := r.Headers[0].Value
	if len(b) < headBytes {
		return h, false
	}
	return head{
		log: hex.EncodeToString(b[:logBytes]), base: binary.BigEndian.Uint64(b[logBytes:]), kind: b[headBytes-2], of: b[headBytes-1],
		name: string(b[headBytes:]),
	}, true
}
