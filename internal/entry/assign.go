package entry

import (
	"encoding/binary"
	"math"
)

// Assign says in which partitions projects are. The first entry that names a
// project counts. It is for the first partition of a cluster, whose table all
// servers follow before they register a project anywhere.
type Assign struct {
	Tokens []string // of projects
	Wanted []uint32 // the partition that the appender has chosen for each

	Partitions []uint32 // result: those that count; as long as Tokens
}

// Kind implements [Entry].
func (*Assign) Kind() Kind { return KindAssign }

func (e *Assign) append(b []byte) []byte {
	b = appendList(b, e.Tokens, appendString[string])
	return appendPartitions(b, e.Wanted)
}

func (e *Assign) decode(r *reader) {
	e.Tokens = list(r, 1, (*reader).string)
	e.Wanted = r.partitions(len(e.Tokens))
}

// appendPartitions appends a number for each project. How many there are is
// known.
func appendPartitions(b []byte, parts []uint32) []byte {
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(p))
	}
	return b
}

func (r *reader) partitions(n int) (parts []uint32) {
	for range n {
		v := r.uvarint()
		if v > math.MaxUint32 {
			r.fail()
		}
		if r.bad {
			return nil
		}
		parts = append(parts, uint32(v))
	}
	return parts
}
