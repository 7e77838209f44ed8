package store

import (
	"encoding/binary"

	"trackway"
)

// The tables, by the first byte of a key. docs/format.md describes every key and record byte by byte; numbers in keys are
// big-endian, so that the store's order is theirs. Two tables more are those of package counts.
const (
	tableAbsorbed  = 'a' // survivor, absorbed customer whose timeline stayed → nothing
	tableCustomers = 'c' // project, customer → holder
	tableErasures  = 'e' // number → project, times, what is to be cleaned
	tableFormer    = 'f' // project, name, value, customer that had this identifier and lost it → nothing
	tableIDs       = 'i' // project, name, value → customer
	tableLog       = 'l' // sequence number → event
	tableMeta      = 'm' // name → value
	tableProps     = 'p' // customer, name → time, value
	tableTimeline  = 't' // customer, time, tail → sequence number, mark of a merge
	tableUsage     = 'u' // project, day → events stored, duplicate; commands refused; customers created, absorbed; events expired
)

// hashTail marks the tail of a timeline key that is a hash of the event's content; without it the tail is the event's
// sequence number. Sequence numbers stay below.
const hashTail = 1 << 63

// scratchKeys is where keys begin that mean nothing and are removed at once: the clean-up makes files come and go by them.
const scratchKeys = 0x80

// mergeMark ends the entries of timelines that lead to the record of a merge: no event that was sent looks like one.
const mergeMark = 1

var (
	keyFormat     = []byte("mformat")
	prefixProject = []byte("mproject/")

	prefixIdentifier = []byte("midentifier/")
)

func absorbedKey(survivor, absorbed trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(appendAbsorbedPrefix(nil, survivor), uint64(absorbed))
}

func appendAbsorbedPrefix(b []byte, survivor trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, tableAbsorbed), uint64(survivor))
}

func appendCustomerKey(b []byte, project uint32, c trackway.Customer) []byte {
	b = binary.BigEndian.AppendUint32(append(b, tableCustomers), project)
	return binary.BigEndian.AppendUint64(b, uint64(c))
}

func customersPrefix(project uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{tableCustomers}, project)
}

// appendIDKey ends in the value, which may hold any byte; the name holds no zero byte (configuration refuses it).
func appendIDKey(b []byte, project uint32, id trackway.Identifier) []byte {
	b = binary.BigEndian.AppendUint32(append(b, tableIDs), project)
	b = append(append(b, id.Name...), 0)
	return append(b, id.Value...)
}

func erasureKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableErasures}, id)
}

// appendFormerKey ends in the customer, and begins with appendFormerPrefix, in which the value has its length in front: no
// other identifier's begins so.
func appendFormerKey(b []byte, project uint32, id trackway.Identifier, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(appendFormerPrefix(b, project, id), uint64(c))
}

func appendFormerPrefix(b []byte, project uint32, id trackway.Identifier) []byte {
	b = binary.BigEndian.AppendUint32(append(b, tableFormer), project)
	b = append(append(b, id.Name...), 0)
	return appendString(b, id.Value)
}

func appendLogKey(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, tableLog), seq)
}

func appendPropKey(b []byte, c trackway.Customer, name string) []byte {
	return append(appendPropsPrefix(b, c), name...)
}

func appendPropsPrefix(b []byte, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, tableProps), uint64(c))
}

func appendTimelineKey(b []byte, c trackway.Customer, at trackway.Micros, tail uint64) []byte {
	b = appendTimelinePrefix(b, c)
	b = binary.BigEndian.AppendUint64(b, uint64(at)) //nolint:gosec // G115: times before 1970 are refused, so none is negative
	return binary.BigEndian.AppendUint64(b, tail)
}

func appendTimelinePrefix(b []byte, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, tableTimeline), uint64(c))
}

// after returns the end of the range of keys that begin with prefix.
// REQUIRES: prefix does not end in 0xff bytes only; it never does, for it begins with a table's letter.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
}
