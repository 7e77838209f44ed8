package traffic

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
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

// Walk calls yield with the rows of each second of a record, in the order of time, from since to until; they are yield's until it
// returns. Nothing has to be whole or closed: what is being written is read as far as it goes. Where a clock was put back, rows come
// with the latest second that was.
func Walk(dir string, since, until time.Time, yield func(second int64, rows []Row) error) (Coverage, error) {
	all, err := segments(dir)
	if err != nil {
		return Coverage{}, err
	}
	w := walker{since: since.Unix(), until: until.Unix(), yield: yield, kinds: make(map[Kind]*Kind), waiting: make(map[int64]*batch)}
	w.covered.Gaps, w.covered.Changes = []Gap{}, []time.Time{}
	for i := range all {
		before := w.since - lateness
		if i+1 < len(all) && all[i+1].began.Unix() < before && all[i].wrote.Unix() < before {
			continue // the next one begins where this one ends, unless the clock was put back
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
	recent  *Kind            // the latest of them: most rows are of the same as the one before
	waiting map[int64]*batch // by second
	spare   []*batch
	emitted int64 // the last second that was
	covered Coverage
	end     int64 // of the last frame
	limits  uint64
	any     bool // there was a frame
}

// batch is the rows of a second.
type batch struct {
	rows  []Row
	index map[place]int32
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
	second := max(r.second, w.emitted)
	b := w.waiting[second]
	if b == nil {
		b = w.newBatch()
		w.waiting[second] = b
	}
	at := place{r.addr, r.v6, w.kind(&r.kind)}
	i, ok := b.index[at]
	if !ok {
		i = int32(len(b.rows))
		b.index[at] = i
		b.rows = append(b.rows, Row{Addr: r.address(), Kind: at.kind, First: r.first, Last: r.last})
	}
	known := &b.rows[i]
	known.Calls += r.calls
	known.Back += r.back
	known.First, known.Last = min(known.First, r.first), max(known.Last, r.last)
}

// newBatch returns an empty batch, which may have been used before.
func (w *walker) newBatch() *batch {
	last := len(w.spare) - 1
	if last < 0 {
		return &batch{index: make(map[place]int32)}
	}
	b := w.spare[last]
	w.spare = w.spare[:last]
	b.rows = b.rows[:0]
	clear(b.index)
	return b
}

// kind returns the one that stands for all that are the same.
func (w *walker) kind(k *Kind) *Kind {
	if w.recent != nil && *w.recent == *k {
		return w.recent
	}
	known := w.kinds[*k]
	if known == nil {
		one := *k
		known = &one
		w.kinds[one] = known
	}
	w.recent = known
	return known
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
		b := w.waiting[second]
		if err := w.yield(second, inOrder(b.rows)); err != nil {
			return err
		}
		delete(w.waiting, second)
		w.spare = append(w.spare, b)
	}
	return nil
}

// inOrder sorts rows into an order that is always the same. What was given back of calls that are not recorded is left out.
func inOrder(rows []Row) []Row {
	rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Calls == 0 })
	for i := range rows {
		rows[i].Back = min(rows[i].Back, rows[i].Calls)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		if c := cmp.Or(cmp.Compare(a.First, b.First), a.Addr.Compare(b.Addr)); c != 0 {
			return c
		}
		return compareKinds(a.Kind, b.Kind)
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
