package traffic

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"trackway/internal/clientip"
)

// Row is what one caller called of one kind in one second.
type Row struct {
	Addr        netip.Addr // of an IPv6 address the first 64 bits
	Kind        *Kind      // the same one for the same kind; shared, not to be written
	Calls       uint32
	Back        uint32 // of them, that were given back
	First, Last uint16 // milliseconds of the second at which the first and the last of them came
}

// Coverage says of what a record tells.
type Coverage struct {
	From       time.Time   `json:"from"` // what was asked for, as far as there is a record of it; both are zero where there is none
	To         time.Time   `json:"to"`
	Unrecorded uint64      `json:"unrecorded"` // calls in that time for which there was no room
	Gaps       []Gap       `json:"gaps"`       // in it
	Changes    []time.Time `json:"changes"`    // when other limits came into force
	Damaged    int         `json:"damaged"`    // files of which a part cannot be read: where a process was killed the end of its last one
}

// Gap is a time of which nothing is known: the server was stopped, or did not record, or could not write.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Missing returns how long nothing was recorded.
func (c *Coverage) Missing() (d time.Duration) {
	for _, g := range c.Gaps {
		d += g.To.Sub(g.From)
	}
	return d
}

// How late a row can be written after its second, since a call can be given back as late as it is answered; and how long a hole
// has to be to be told of.
const (
	lateness = 8 // seconds
	leastGap = 2 // seconds
)

// Walk calls yield with the rows of each second of a record, in the order of time, from since to until. Nothing has to be whole
// or closed: what is being written is read as far as it goes. Where a clock was put back, rows come with the latest second that was.
func Walk(dir string, since, until time.Time, yield func(second int64, rows []Row) error) (Coverage, error) {
	all, err := segments(dir)
	if err != nil {
		return Coverage{}, err
	}
	w := walker{since: since.Unix(), until: until.Unix(), yield: yield, kinds: make(map[Kind]*Kind), waiting: make(map[int64]map[place]*Row)}
	w.covered.Gaps, w.covered.Changes = []Gap{}, []time.Time{}
	for i := range all {
		if i+1 < len(all) && all[i+1].began.Unix()+lateness < w.since {
			continue // the next one begins where this one ends
		}
		if err := w.segment(all[i].path); err != nil {
			return Coverage{}, err
		}
	}
	return w.covered, w.emit(math.MaxInt64)
}

// walker puts rows into the order of time.
type walker struct {
	since, until int64
	yield        func(second int64, rows []Row) error

	kinds   map[Kind]*Kind
	waiting map[int64]map[place]*Row // by second
	emitted int64                    // the last second that was
	covered Coverage
	end     int64 // of the last frame
	limits  uint64
	any     bool // there was a frame
}

// place is what makes a row within its second.
type place struct {
	addr uint64
	v6   bool
	kind *Kind
}

func (w *walker) segment(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was too old
	} else if err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	for ok && len(rest) > 0 {
		var f *frame
		if f, rest, ok = next(rest); ok {
			if err := w.frame(f); err != nil {
				return err
			}
		}
	}
	if !ok {
		w.covered.Damaged++
	}
	return nil
}

// next reads the first frame of a file's rest; ok is false where it is not whole.
func next(b []byte) (f *frame, rest []byte, ok bool) {
	if len(b) < headBytes {
		return nil, nil, false
	}
	length, sum := uint64(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint32(b[4:])
	b = b[headBytes:]
	if length > uint64(len(b)) || crc32.Checksum(b[:length], castagnoli) != sum {
		return nil, nil, false
	}
	f, err := decode(b[:length])
	return f, b[length:], err == nil
}

func (w *walker) frame(f *frame) error {
	w.cover(f)
	for i := range f.rows {
		if r := &f.rows[i]; r.second >= w.since && r.second < w.until {
			w.keep(r)
		}
	}
	return w.emit(f.to - lateness)
}

// cover notes of which time a frame tells.
func (w *walker) cover(f *frame) {
	from, to := max(f.from, w.since), min(f.to, w.until)
	if from >= w.until || to < w.since || from > to {
		return
	}
	if w.any && from-w.end >= leastGap {
		w.covered.Gaps = append(w.covered.Gaps, Gap{moment(w.end), moment(from)})
	}
	if w.any && f.limits != w.limits {
		w.covered.Changes = append(w.covered.Changes, moment(from))
	}
	if !w.any {
		w.covered.From = moment(from)
	}
	w.any, w.end, w.limits = true, max(to, w.end), f.limits
	w.covered.To = moment(w.end)
	w.covered.Unrecorded += f.unrecorded
}

func moment(second int64) time.Time { return time.Unix(second, 0).UTC() }

// keep adds a row to those that wait, or to the one that it is a part of.
func (w *walker) keep(r *row) {
	kind := w.kinds[r.kind]
	if kind == nil {
		kind = &r.kind
		w.kinds[r.kind] = kind
	}
	second := max(r.second, w.emitted)
	rows := w.waiting[second]
	if rows == nil {
		rows = make(map[place]*Row)
		w.waiting[second] = rows
	}
	at := place{r.addr, r.v6, kind}
	known := rows[at]
	if known == nil {
		known = &Row{Addr: r.address(), Kind: kind, First: r.first, Last: r.last}
		rows[at] = known
	}
	known.Calls += r.calls
	known.Back += r.back
	known.First, known.Last = min(known.First, r.first), max(known.Last, r.last)
}

func (k *key) address() netip.Addr {
	if k.v6 {
		return clientip.Key{Hi: k.addr, Bits: AddrBits}.Addr()
	}
	return clientip.Key{Lo: k.addr, Bits: 128}.Addr()
}

// emit yields what waits of the seconds before one.
func (w *walker) emit(before int64) error {
	var seconds []int64
	for second := range w.waiting {
		if second < before {
			seconds = append(seconds, second)
		}
	}
	slices.Sort(seconds)
	for _, second := range seconds {
		w.emitted = second + 1
		if err := w.yield(second, inOrder(w.waiting[second])); err != nil {
			return err
		}
		delete(w.waiting, second)
	}
	return nil
}

// inOrder returns rows in an order that is always the same. What was given back of calls of another time is left out.
func inOrder(waiting map[place]*Row) []Row {
	rows := make([]Row, 0, len(waiting))
	for r := range maps.Values(waiting) {
		if r.Back = min(r.Back, r.Calls); r.Calls > 0 {
			rows = append(rows, *r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.First, b.First), a.Addr.Compare(b.Addr), compareKinds(a.Kind, b.Kind))
	})
	return rows
}

func compareKinds(a, b *Kind) int {
	one, other := a.texts(), b.texts()
	for i := range one {
		if c := strings.Compare(*one[i], *other[i]); c != 0 {
			return c
		}
	}
	return 0
}
