package entry

import (
	"encoding/binary"
	"math"
)

// Assign says in which partitions projects are. The first entry that names a
// project counts. It is for the first partition of a cluster, whose table all
// servers follow before they register a project anywhere.
type Assign struct {
	Projects []Assignment
}

// Assignment is the partition of a project.
type Assignment struct {
	Token  string
	Wanted uint32 // the partition that the appender has chosen

	Partition uint32 // result: the one that counts
}

// Kind implements [Entry].
func (*Assign) Kind() Kind { return KindAssign }

func (e *Assign) append(b []byte) []byte {
	return appendList(b, e.Projects, func(b []byte, a Assignment) []byte {
		return binary.AppendUvarint(appendString(b, a.Token), uint64(a.Wanted))
	})
}

func (e *Assign) decode(r *reader) {
	const leastItem = 2 // two fields
	e.Projects = list(r, leastItem, func(r *reader) Assignment { return Assignment{Token: r.string(), Wanted: r.partition()} })
}

func (r *reader) partition() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}
