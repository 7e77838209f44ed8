package traffic

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// A frame holds the calls of some seconds. It names the seconds even if they
// had no calls, so that a reader can tell gaps. All numbers are varints
// (encoding/binary), unsigned unless noted.
//
//	from (Unix seconds)
//	number of seconds
//	number of calls that were not recorded
//	8 bytes that name the limits in force
//	kinds: their number; for each the six texts of a Kind, with their lengths
//	rows of IPv4 addresses: their number, sorted by address, kind and second;
//	for each:
//	    difference to the address of the previous row
//	    kind
//	    second since from, signed
//	    calls twice, plus 1 if some were given back: then their number follows
//	    millisecond of the first call
//	    if there are several calls, the milliseconds until the last one
//	rows of IPv6 addresses: the same
type frame struct {
	from, to   int64 // Unix seconds; to is exclusive
	unrecorded uint64
	limits     uint64
	rows       []row
}

// append appends the encoded frame. It sorts the rows.
func (f *frame) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(f.from))
	b = binary.AppendUvarint(b, uint64(f.to-f.from))
	b = binary.AppendUvarint(b, f.unrecorded)
	b = binary.BigEndian.AppendUint64(b, f.limits)
	kinds, number := kindsOf(f.rows)
	b = binary.AppendUvarint(b, uint64(len(kinds)))
	for i := range kinds {
		for _, text := range kinds[i].texts() {
			b = append(binary.AppendUvarint(b, uint64(len(*text))), *text...)
		}
	}
	slices.SortFunc(f.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(family(&a), family(&b)), cmp.Compare(a.addr, b.addr),
			cmp.Compare(number[a.kind], number[b.kind]), cmp.Compare(a.second, b.second))
	})
	v4 := slices.IndexFunc(f.rows, func(r row) bool { return r.v6 })
	if v4 < 0 {
		v4 = len(f.rows)
	}
	for _, rows := range [][]row{f.rows[:v4], f.rows[v4:]} {
		b = binary.AppendUvarint(b, uint64(len(rows)))
		addr := uint64(0)
		for i := range rows {
			b = binary.AppendUvarint(b, rows[i].addr-addr)
			b = rows[i].append(b, number[rows[i].kind], f.from)
			addr = rows[i].addr
		}
	}
	return b
}

func family(r *row) int {
	if r.v6 {
		return 1
	}
	return 0
}

// kindsOf returns the kinds of rows and the index of each.
func kindsOf(rows []row) (kinds []Kind, number map[Kind]uint64) {
	number = make(map[Kind]uint64)
	for i := range rows {
		if _, ok := number[rows[i].kind]; !ok {
			number[rows[i].kind] = uint64(len(kinds))
			kinds = append(kinds, rows[i].kind)
		}
	}
	return kinds, number
}

// texts returns pointers to the texts of a kind, in the order in which they are
// written.
func (k *Kind) texts() [6]*string {
	return [...]*string{&k.Method, &k.Route, &k.Path, &k.Project, &k.Key, &k.Refused}
}

// append appends a row without its address.
func (r *row) append(b []byte, kind uint64, from int64) []byte {
	b = binary.AppendUvarint(b, kind)
	b = binary.AppendVarint(b, r.second-from)
	b = binary.AppendUvarint(b, uint64(r.calls)<<1|uint64(min(r.back, 1)))
	if r.back > 0 {
		b = binary.AppendUvarint(b, uint64(r.back))
	}
	b = binary.AppendUvarint(b, uint64(r.first))
	if uint64(r.calls)+uint64(r.back) > 1 {
		b = binary.AppendUvarint(b, uint64(r.last-r.first))
	}
	return b
}

var errFrame = errors.New("no frame of a record of calls")

// decode reads the output of append. It accepts any input: its memory is
// proportional to the length of the input.
func decode(b []byte) (*frame, error) {
	d := decoder{rest: b}
	f := &frame{from: int64(d.upTo(math.MaxInt32 << 8))}
	f.to = f.from + int64(d.upTo(math.MaxInt32))
	f.unrecorded = d.upTo(math.MaxUint64)
	f.limits = d.word()
	kinds := make([]Kind, d.upTo(uint64(len(d.rest)/len(new(Kind).texts()))))
	for i := range kinds {
		for _, text := range kinds[i].texts() {
			*text = string(d.take(d.upTo(uint64(len(d.rest)))))
		}
	}
	for _, v6 := range []bool{false, true} {
		addr := uint64(0)
		for range d.upTo(uint64(len(d.rest))) {
			addr += d.upTo(math.MaxUint64)
			r := d.row(kinds, f.from)
			r.addr, r.v6 = addr, v6
			f.rows = append(f.rows, r)
			if d.bad {
				return nil, errFrame
			}
		}
	}
	if d.bad || len(d.rest) > 0 {
		return nil, errFrame
	}
	return f, nil
}

// decoder reads numbers. After an error it returns only 0.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) row(kinds []Kind, from int64) (r row) {
	kind := d.upTo(uint64(len(kinds)))
	if kind >= uint64(len(kinds)) {
		d.bad = true
		return row{}
	}
	r.kind = kinds[kind]
	off, n := binary.Varint(d.rest)
	d.skip(n)
	r.second = from + off
	calls := d.upTo(math.MaxUint32<<1 | 1)
	r.calls = uint32(calls >> 1)
	if calls&1 == 1 {
		r.back = uint32(d.upTo(math.MaxUint32))
	}
	const millis = uint64(time.Second/time.Millisecond) - 1
	first := d.upTo(millis)
	last := first
	if uint64(r.calls)+uint64(r.back) > 1 {
		last += d.upTo(millis - first)
	}
	r.first, r.last = uint16(first), uint16(last)
	return r
}

// upTo reads a number that is at most most.
func (d *decoder) upTo(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	if d.bad = d.bad || v > most; d.bad {
		return 0
	}
	return v
}

func (d *decoder) word() uint64 {
	b := d.take(8)
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.skip(0)
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// skip skips n bytes. binary returns an n of 0 or less if there is no number.
func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}
