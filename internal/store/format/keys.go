// Package format is the layout of the store's keys and records. docs/format.md
// describes it byte by byte. It knows nothing of how they are kept.
package format

import (
	"encoding/binary"

	"trackway"
	"trackway/internal/query"
)

// The tables, by the first byte of a key. Numbers in keys are big-endian, so
// that the store's order is theirs.
const (
	TableAbsorbed  = 'a' // survivor, absorbed customer whose timeline stayed → nothing
	TableCustomers = 'c' // project, customer → holder
	TableFormer    = 'f' // project, name, value, customer that had this identifier and lost it → nothing
	TableIDs       = 'i' // project, name, value → customer
	TableLog       = 'l' // sequence number → event
	TableMeta      = 'm' // name → value
	TableNode      = 'n' // what is this server's and no state: see docs/format.md
	TableProps     = 'p' // customer, name → time, value
	TableCounts    = 's' // project, which time, type, hour → events, sequence numbers
	TableTimeline  = 't' // customer, time, tail → sequence number, mark of a merge
	TableUsage     = 'u' // project, day → events stored, duplicate; commands refused; customers created, absorbed; events expired
	TableTypes     = 'y' // project, type of event → number
)

// Keys of one value each.
const (
	KeyFormat   = "mformat"   // version of this layout
	KeyApplied  = "mapplied"  // index of the entry that was applied last
	KeyErasures = "merasures" // number of the last erasure
	KeyNextSeq  = "mnextseq"  // the next sequence number is this one at least
	KeyStore    = "nstore"    // the store's name
	KeyCounted  = "ncounted"  // up to which event is counted in TableCounts
)

// Beginnings of keys that go on with a name or a number.
const (
	PrefixProject    = "mproject/"    // token → number
	PrefixIdentifier = "midentifier/" // project, name → whether it is hard
	PrefixCursor     = "mcursor/"     // name → number of a change
	PrefixErasure    = "nerasure/"    // number → erased.Record: what the files have yet to lose
)

// HashTail marks the tail of a timeline key that is a hash of the event's
// content; without it the tail is the event's sequence number. Sequence numbers
// stay below.
const HashTail = 1 << 63

// ScratchKeys is where keys begin that mean nothing and are removed at once:
// the clean-up makes files come and go by them.
const ScratchKeys = 0x80

// MergeMark ends the entries of timelines that lead to the record of a merge:
// no event that was sent looks like one.
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

// AppendIDKey ends in the value, which may hold any byte; the name holds no
// zero byte (configuration refuses it).
func AppendIDKey(b []byte, project uint32, id trackway.Identifier) []byte {
	b = binary.BigEndian.AppendUint32(append(b, TableIDs), project)
	b = append(append(b, id.Name...), 0)
	return append(b, id.Value...)
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

// Key is a key in the making. Each method appends to it.
type Key []byte

// Former is the key of a customer that had an identifier. It ends in the
// customer and begins with FormerPrefix.
func (k Key) Former(project uint32, id trackway.Identifier, c trackway.Customer) Key {
	return binary.BigEndian.AppendUint64(k.FormerPrefix(project, id), uint64(c))
}

// FormerPrefix begins the keys of all former holders of an identifier. The
// value has its length in front, so that no other identifier's prefix begins
// so.
func (k Key) FormerPrefix(project uint32, id trackway.Identifier) Key {
	k = binary.BigEndian.AppendUint32(append(k, TableFormer), project)
	k = append(append(k, id.Name...), 0)
	return AppendString(k, id.Value)
}

// Usage is the key of what a project sent on a day.
func (k Key) Usage(project uint32, day query.Day) Key {
	return binary.BigEndian.AppendUint32(k.UsagePrefix(project), uint32(day))
}

// UsagePrefix begins the keys of all days of a project.
func (k Key) UsagePrefix(project uint32) Key {
	return binary.BigEndian.AppendUint32(append(k, TableUsage), project)
}

// Count is the key of a count. Type 0 is all types without a number.
func (k Key) Count(project uint32, by query.By, typ uint32, hour query.Hour) Key {
	k = binary.BigEndian.AppendUint32(k.CountPrefix(project, by), typ)
	return binary.BigEndian.AppendUint32(k, uint32(hour))
}

// CountPrefix begins the keys of a project's counts by one of the times.
func (k Key) CountPrefix(project uint32, by query.By) Key {
	return append(binary.BigEndian.AppendUint32(append(k, TableCounts), project), byte(by))
}

// Type is the key of the number of a type of events.
func (k Key) Type(project uint32, name string) Key {
	return append(binary.BigEndian.AppendUint32(append(k, TableTypes), project), name...)
}

// Project is the key of a project's number.
func (k Key) Project(token string) Key { return append(append(k, PrefixProject...), token...) }

// Identifier is the key of whether a project's identifier is hard.
func (k Key) Identifier(project uint32, name string) Key {
	return append(binary.BigEndian.AppendUint32(append(k, PrefixIdentifier...), project), name...)
}

// Cursor is the key of a named cursor of the changes.
func (k Key) Cursor(name string) Key { return append(append(k, PrefixCursor...), name...) }

// Erasure is the key of an erasure.
func (k Key) Erasure(id uint64) Key {
	return binary.BigEndian.AppendUint64(append(k, PrefixErasure...), id)
}

// After returns the end of the range of keys that begin with prefix. REQUIRES:
// prefix does not end in 0xff bytes only; it never does, for it begins with a
// table's letter.
func After(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
}
