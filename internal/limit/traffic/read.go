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

// Row describes the calls of one kind that one caller made in one second.
type Row struct {
	Addr        netip.Addr // for IPv6, the first 64 bits
	Kind        *Kind      // shared between rows of the same kind; read-only
	Calls       uint32
	Back        uint32 // calls that were given back
	First, Last uint16 // milliseconds of the second at which the first and last call came
}

// Coverage describes the time that a record covers.
type Coverage struct {
	// From and To are the requested time, as far as it is recorded. Both are
	// zero if nothing is recorded.
	From       time.Time   `json:"from"`
	To         time.Time   `json:"to"`
	Unrecorded uint64      `json:"unrecorded"` // calls in that time that did not fit
	Gaps       []Gap       `json:"gaps"`       // within that time
	Changes    []time.Time `json:"changes"`    // times at which other limits came into force
	// Damaged counts the files of which a part cannot be read. A killed process
	// leaves its last file with a torn end.
	Damaged int `json:"damaged"`
}

// Gap is a time without a record: the server was stopped, did not record, or
// could not write.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Missing returns the total length of the gaps.
func (c *Coverage) Missing() (d time.Duration) {
	for _, g := range c.Gaps {
		d += g.To.Sub(g.From)
	}
	return d
}

// lateness is how long after its second a row can be written, because a call
// can be given back until it is answered. leastGap is the shortest gap to
// report.
const (
	lateness = 8 // seconds
	leastGap = 2 // seconds
)

// Walk calls yield with the rows of each second of a record, in the order of
// time, from since to until. yield may use the rows until it returns. The
// record may be incomplete or still being written: Walk reads it as far as it
// goes. If the clock was put back, rows belong to the latest second before
// that.
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
			continue // the next file begins where this one ends, unless the clock was put back
		}
		if err := w.segment(all[i].path); err != nil {
			return Coverage{}, err
		}
	}
	return w.covered, w.emit(math.MaxInt64)
}

// walker sorts rows by time.
type walker struct {
	since, until int64
	yield        func(second int64, rows []Row) error

	kinds   map[Kind]*Kind
	recent  *Kind            // the latest one: most rows have the kind of the row before
	waiting map[int64]*batch // by second
	spare   []*batch
	emitted int64 // the last second yielded
	covered Coverage
	end     int64 // of the last frame
	limits  uint64
	any     bool // a frame was read
}

// batch is the rows of a second.
type batch struct {
	rows  []Row
	index map[place]int32
}

// place identifies a row within its second.
type place struct {
	addr uint64
	v6   bool
	kind *Kind
}

func (w *walker) segment(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the file was too old and has been removed
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

// next reads the first frame of a file's rest. ok is false if the frame is
// incomplete.
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

// cover notes the time that a frame covers.
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

// keep adds a row to the waiting ones, merging the parts of a row.
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

// newBatch returns an empty batch, reusing old ones.
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

// kind returns the shared instance of a kind.
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

// emit yields the waiting rows of all seconds before one.
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

// inOrder sorts rows into a fixed order. It drops refunds of calls that are not
// recorded.
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
