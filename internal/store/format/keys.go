// Package format defines the layout of the store's keys and records, which
// docs/format.md describes byte by byte. It does not know how they are stored.
package format

import (
	"encoding/binary"

	"trackway"
	"trackway/internal/query"
)

// The tables, by the first byte of a key. Numbers in keys are big-endian, so
// that keys sort in numeric order.
const (
	TableAbsorbed  = 'a' // survivor, absorbed customer whose timeline stayed → nothing
	TableCustomers = 'c' // project, customer → holder
	TableChanges   = 'd' // number → project, customer, kind: a change that is not an event
	TableFormer    = 'f' // project, name, value, customer that lost this identifier → nothing
	TableIDs       = 'i' // project, name, value → customer
	TableLog       = 'l' // sequence number → event
	TableMeta      = 'm' // name → value
	TableNode      = 'n' // belongs to this server and is not state: see docs/format.md
	TableOnce      = 'o' // origin → its highest counter; origin, counter → results of the entry
	TableProps     = 'p' // customer, name → time, value
	TableRepeats   = 'r' // project, hash of an event's content → sequence number
	TableCounts    = 's' // project, which time, type, hour → events, sequence numbers
	TableTimeline  = 't' // customer, time, tail → sequence number, mark of a merge
	TableLatest    = 'v' // project, customer → number and kind of its latest change
	TableUsage     = 'u' // project, day → query.Usage: events, commands and customers of that day
	TableTypes     = 'y' // project, type of event → number
)

// Versions of this layout.
const (
	Unkeyed = 3 // the hash in a timeline key is BLAKE2b
	Keyed   = 4 // it is SipHash under the key at KeyHash; all else is as before
)

// Keys with one value each.
const (
	KeyFormat   = "mformat"   // version of this layout
	KeyHash     = "mhashkey"  // the secret of the hash in timeline keys
	KeyApplied  = "mapplied"  // index of the last applied entry
	KeyErasures = "merasures" // number of the last erasure
	KeyNextSeq  = "mnextseq"  // a lower bound of the next sequence number
	KeyTurn     = "mturn"     // whose turn it is to write notes
	KeyStore    = "nstore"    // the store's name
	KeyCounted  = "ncounted"  // the last event that is counted in TableCounts
)

// Prefixes of keys that continue with a name or a number.
const (
	PrefixProject    = "mproject/"    // token → number
	PrefixIdentifier = "midentifier/" // project, name → whether it is hard
	PrefixAssigned   = "massigned/"   // token → partition
	PrefixCursor     = "mcursor/"     // name → number of a change
	PrefixNote       = "mnote/"       // name → a note of followers
	PrefixErasure    = "nerasure/"    // number → erased.Record: what must still leave the files
)

// HashTail marks the tail of a timeline key that is a hash of the event's
// content. Without the mark the tail is the event's sequence number. Sequence
// numbers stay below it.
const HashTail = 1 << 63

// ScratchKeys is the first of the keys that have no meaning and are removed at
// once. The clean-up uses them to create and remove files.
const ScratchKeys = 0x80

// MergeMark ends the timeline entries of merge records. The entry of an event
// that a client sent never has it.
const MergeMark = 1

// AbsorbedKey is the key that says that a survivor keeps the timeline of an
// absorbed customer.
func AbsorbedKey(survivor, absorbed trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(AppendAbsorbedPrefix(nil, survivor), uint64(absorbed))
}

// AppendAbsorbedPrefix appends the prefix of the keys for all timelines that a
// survivor keeps.
func AppendAbsorbedPrefix(b []byte, survivor trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableAbsorbed), uint64(survivor))
}

// AppendCustomerKey appends the key of a customer's record.
func AppendCustomerKey(b []byte, project uint32, c trackway.Customer) []byte {
	b = binary.BigEndian.AppendUint32(append(b, TableCustomers), project)
	return binary.BigEndian.AppendUint64(b, uint64(c))
}

// CustomersPrefix is the prefix of the keys of a project's customers.
func CustomersPrefix(project uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{TableCustomers}, project)
}

// AppendIDKey appends the key of an identifier. The key ends in the value,
// which may hold any byte. The name holds no zero byte, since the configuration
// refuses it.
func AppendIDKey(b []byte, project uint32, id trackway.Identifier) []byte {
	b = binary.BigEndian.AppendUint32(append(b, TableIDs), project)
	b = append(append(b, id.Name...), 0)
	return append(b, id.Value...)
}

// AppendLogKey appends the key of an event.
func AppendLogKey(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableLog), seq)
}

// AppendPropKey appends the key of a customer's property.
func AppendPropKey(b []byte, c trackway.Customer, name string) []byte {
	return append(AppendPropsPrefix(b, c), name...)
}

// AppendPropsPrefix appends the prefix of the keys of a customer's properties.
func AppendPropsPrefix(b []byte, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableProps), uint64(c))
}

// AppendTimelineKey appends the key of an event's entry on a customer's
// timeline.
func AppendTimelineKey(b []byte, c trackway.Customer, at trackway.Micros, tail uint64) []byte {
	b = AppendTimelinePrefix(b, c)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return binary.BigEndian.AppendUint64(b, tail)
}

// AppendTimelinePrefix appends the prefix of the keys of a customer's timeline.
func AppendTimelinePrefix(b []byte, c trackway.Customer) []byte {
	return binary.BigEndian.AppendUint64(append(b, TableTimeline), uint64(c))
}

// Key is a key under construction. Each method appends to it.
type Key []byte

// Former appends the key of a customer that had an identifier: the FormerPrefix
// of the identifier, followed by the customer.
func (k Key) Former(project uint32, id trackway.Identifier, c trackway.Customer) Key {
	return binary.BigEndian.AppendUint64(k.FormerPrefix(project, id), uint64(c))
}

// FormerPrefix appends the prefix of the keys of all former holders of an
// identifier. The value is preceded by its length, so that no prefix begins
// with that of another identifier.
func (k Key) FormerPrefix(project uint32, id trackway.Identifier) Key {
	k = binary.BigEndian.AppendUint32(append(k, TableFormer), project)
	k = append(append(k, id.Name...), 0)
	return AppendString(k, id.Value)
}

// Once appends the key of an origin's highest counter. With a counter behind
// it, it is the key of the results of an entry.
func (k Key) Once(origin [16]byte) Key { return append(append(k, TableOnce), origin[:]...) }

// Repeat appends the key of an event that is recognized by its content alone.
func (k Key) Repeat(project uint32, sum []byte) Key {
	return append(binary.BigEndian.AppendUint32(append(k, TableRepeats), project), sum...)
}

// Usage appends the key of a project's usage on a day.
func (k Key) Usage(project uint32, day query.Day) Key {
	return binary.BigEndian.AppendUint32(k.UsagePrefix(project), uint32(day))
}

// UsagePrefix appends the prefix of the keys of a project's usage on all days.
func (k Key) UsagePrefix(project uint32) Key {
	return binary.BigEndian.AppendUint32(append(k, TableUsage), project)
}

// Count appends the key of a count. Type 0 stands for all types without a
// number.
func (k Key) Count(project uint32, by query.By, typ uint32, hour query.Hour) Key {
	k = binary.BigEndian.AppendUint32(k.CountPrefix(project, by), typ)
	return binary.BigEndian.AppendUint32(k, uint32(hour))
}

// CountPrefix appends the prefix of the keys of a project's counts by one of
// the times.
func (k Key) CountPrefix(project uint32, by query.By) Key {
	return append(binary.BigEndian.AppendUint32(append(k, TableCounts), project), byte(by))
}

// Type appends the key of the number of an event type.
func (k Key) Type(project uint32, name string) Key {
	return append(binary.BigEndian.AppendUint32(append(k, TableTypes), project), name...)
}

// Project appends the key of a project's number.
func (k Key) Project(token string) Key { return append(append(k, PrefixProject...), token...) }

// Identifier appends the key of the note whether a project's identifier is
// hard.
func (k Key) Identifier(project uint32, name string) Key {
	return append(binary.BigEndian.AppendUint32(append(k, PrefixIdentifier...), project), name...)
}

// Change appends the key of a change that is not an event.
func (k Key) Change(number uint64) Key {
	return binary.BigEndian.AppendUint64(append(k, TableChanges), number)
}

// Latest appends the key of a customer's latest change. Customer 0 stands for
// the change that tells of a project's expired events.
func (k Key) Latest(project uint32, c trackway.Customer) Key {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(append(k, TableLatest), project), uint64(c))
}

// Cursor appends the key of a named cursor of the changes.
func (k Key) Cursor(name string) Key { return append(append(k, PrefixCursor...), name...) }

// Note appends the key of a note.
func (k Key) Note(name string) Key { return append(append(k, PrefixNote...), name...) }

// Erasure appends the key of an erasure.
func (k Key) Erasure(id uint64) Key {
	return binary.BigEndian.AppendUint64(append(k, PrefixErasure...), id)
}

// After returns the end of the range of keys that begin with prefix. REQUIRES:
// prefix does not consist of 0xff bytes only. No prefix does, because it begins
// with a table's letter.
func After(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
}
