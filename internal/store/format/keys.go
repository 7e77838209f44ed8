// Package format is the layout of the store's keys and records, which docs/format.md describes byte by byte. It knows nothing of how
// they are kept.
package format

import (
	"encoding/binary"

	"trackway"
)

// The tables, by the first byte of a key. docs/format.md describes every key and record byte by byte; numbers in keys are
// big-endian, so that the store's order is theirs. Two tables more are those of package counts.
const (
	TableAbsorbed  = 'a' // survivor, absorbed customer whose timeline stayed → nothing
	TableCustomers = 'c' // project, customer → holder
	TableErasures  = 'e' // number → project, times, what is to be cleaned
	TableFormer    = 'f' // project, name, value, customer that had this identifier and lost it → nothing
	TableIDs       = 'i' // project, name, value → customer
	TableLog       = 'l' // sequence number → event
	TableMeta      = 'm' // name → value
	TableProps     = 'p' // customer, name → time, value
	TableTimeline  = 't' // customer, time, tail → sequence number, mark of a merge
	TableUsage     = 'u' // project, day → events stored, duplicate; commands refused; customers created, absorbed; events expired
)

// HashTail marks the tail of a timeline key that is a hash of the event's content; without it the tail is the event's
// sequence number. Sequence numbers stay below.
const HashTail = 1 << 63

// ScratchKeys is where keys begin that mean nothing and are removed at once: the clean-up makes files come and go by them.
const ScratchKeys = 0x80

// MergeMark ends the entries of timelines that lead to the record of a merge: no event that was sent looks like one.
const MergeMark = 1

// AbsorbedKey says that the timeline of an absorbed customer stayed.
func AbsorbedKey(survivor, absorbed trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(AppendAbsorbedPrefix(nil, survivor), uint64(absorbed))
}

// AppendAbsorbedPrefix begins the keys of all timelines that a survivor keeps.
func AppendAbsorbedPrefix(b []byte, survivor trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableAbsorbed), uint64(survivor))
}

// AppendCustomerKey is the key of a customer's record.
func AppendCustomerKey(b []byte, project uint32, c trackway.Customer) []byte {
	b = binary.BigEndian.AppendUint32(append(b, TableCustomers), project)
	return binary.BigEndian.AppendUint64(b, uint64(c))
}

// CustomersPrefix begins the keys of a project's customers.
func CustomersPrefix(project uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{TableCustomers}, project)
}

// AppendIDKey ends in the value, which may hold any byte; the name holds no zero byte (configuration refuses it).
func AppendIDKey(b []byte, project uint32, id trackway.Identifier) []byte {
	b = binary.BigEndian.AppendUint32(append(b, TableIDs), project)
	b = append(append(b, id.Name...), 0)
	return append(b, id.Value...)
}

// AppendFormerKey ends in the customer, and begins with AppendFormerPrefix, in which the value has its length in front: no
// other identifier's begins so.
func AppendFormerKey(b []byte, project uint32, id trackway.Identifier, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(AppendFormerPrefix(b, project, id), uint64(c))
}

// AppendFormerPrefix begins the keys of all former holders of an identifier.
func AppendFormerPrefix(b []byte, project uint32, id trackway.Identifier) []byte {
	b = binary.BigEndian.AppendUint32(append(b, TableFormer), project)
	b = append(append(b, id.Name...), 0)
	return AppendString(b, id.Value)
}

// AppendLogKey is the key of an event.
func AppendLogKey(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableLog), seq)
}

// AppendPropKey is the key of a customer's property.
func AppendPropKey(b []byte, c trackway.Customer, name string) []byte {
	return append(AppendPropsPrefix(b, c), name...)
}

// AppendPropsPrefix begins the keys of all properties of a customer.
func AppendPropsPrefix(b []byte, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableProps), uint64(c))
}

// AppendTimelineKey is the key of an event's entry on a customer's timeline.
func AppendTimelineKey(b []byte, c trackway.Customer, at trackway.Micros, tail uint64) []byte {
	b = AppendTimelinePrefix(b, c)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return binary.BigEndian.AppendUint64(b, tail)
}

// AppendTimelinePrefix begins the keys of a customer's timeline.
func AppendTimelinePrefix(b []byte, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableTimeline), uint64(c))
}

// After returns the end of the range of keys that begin with prefix.
// REQUIRES: prefix does not end in 0xff bytes only; it never does, for it begins with a table's letter.
func After(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
}
