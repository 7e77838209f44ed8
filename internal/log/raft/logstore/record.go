package logstore

import (
	"encoding/binary"
	"errors"
	"time"

	hraft "github.com/hashicorp/raft"
)

// recordVersion is the first byte of a record.
const recordVersion = 1

var errRecord = errors.New("not a record of a Raft log")

// record is an entry of the log as it is stored: a byte with the version, a
// byte with the type, then as varints the term, the bytes before it, the time
// in nanoseconds, and the length of the extensions; the extensions; the data.
type record struct {
	log    hraft.Log // Index is beside the record
	before uint64    // bytes of all entries before this one, since the log began
}

// size is how much the record counts for.
func (r *record) size() uint64 { return uint64(len(r.log.Data) + len(r.log.Extensions)) }

func (r *record) append(b []byte) []byte {
	b = append(b, recordVersion, byte(r.log.Type))
	b = binary.AppendUvarint(b, r.log.Term)
	b = binary.AppendUvarint(b, r.before)
	var at int64
	if !r.log.AppendedAt.IsZero() {
		at = r.log.AppendedAt.UnixNano()
	}
	b = binary.AppendVarint(b, at)
	b = binary.AppendUvarint(b, uint64(len(r.log.Extensions)))
	b = append(b, r.log.Extensions...)
	return append(b, r.log.Data...)
}

// decode reads a record. It copies what it needs of b.
func decode(b []byte) (r record, err error) {
	r, b, extensions, err := decodeHead(b)
	if err != nil {
		return r, err
	}
	b = append([]byte(nil), b...)
	if extensions > 0 {
		r.log.Extensions = b[:extensions:extensions]
	}
	r.log.Data = b[extensions:]
	return r, nil
}

// decodeHead reads a record up to the extensions, and returns these and the
// data, and how many bytes the extensions have.
func decodeHead(b []byte) (r record, rest []byte, extensions uint64, err error) {
	if len(b) < 2 || b[0] != recordVersion {
		return r, nil, 0, errRecord
	}
	r.log.Type, b = hraft.LogType(b[1]), b[2:]
	for _, n := range []*uint64{&r.log.Term, &r.before} {
		var used int
		if *n, used = binary.Uvarint(b); used <= 0 {
			return r, nil, 0, errRecord
		}
		b = b[used:]
	}
	at, used := binary.Varint(b)
	if used <= 0 {
		return r, nil, 0, errRecord
	}
	b = b[used:]
	if at != 0 {
		r.log.AppendedAt = time.Unix(0, at)
	}
	if extensions, used = binary.Uvarint(b); used <= 0 || extensions > uint64(len(b)-used) {
		return r, nil, 0, errRecord
	}
	return r, b[used:], extensions, nil
}

// recent holds the last entries, so that those that followers ask for need not
// be read. It is bounded by bytes, because entries differ in size a
// thousandfold. The entries in it follow each other.
type recent struct {
	most  int // bytes
	logs  []*hraft.Log
	bytes int
}

// get returns an entry, or nil if it is not there.
func (r *recent) get(index uint64) *hraft.Log {
	if len(r.logs) == 0 || index < r.logs[0].Index || index-r.logs[0].Index >= uint64(len(r.logs)) {
		return nil
	}
	return r.logs[index-r.logs[0].Index]
}

func cost(l *hraft.Log) int {
	const fixed = 200 // of the structures
	return fixed + len(l.Data) + len(l.Extensions)
}

// add adds the entry that follows.
func (r *recent) add(l *hraft.Log) {
	r.logs = append(r.logs, l)
	r.bytes += cost(l)
	n := 0
	for r.bytes > r.most {
		r.bytes -= cost(r.logs[n])
		r.logs[n] = nil
		n++
	}
	r.logs = r.logs[n:]
}

// keep drops entries outside of a range.
func (r *recent) keep(first, last uint64) {
	var kept []*hraft.Log
	r.bytes = 0
	for _, l := range r.logs {
		if l.Index >= first && l.Index <= last {
			kept = append(kept, l)
			r.bytes += cost(l)
		}
	}
	r.logs = kept
}
