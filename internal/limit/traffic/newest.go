package traffic

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Most bounds the part of a record that is read.
type Most struct {
	Rows    int
	Calls   uint64
	Callers int // different addresses
}

// Extent is a part of a record: From until before To. Both are zero if the
// record is empty.
type Extent struct {
	From, To time.Time
	Cut      bool // the record goes back further
}

// Newest finds the longest part of a record that includes its end and lies
// within bounds. The newest frame, of about ten seconds, is always included. It
// decodes the rows of the part, and does not sort them, as [Walk] does.
func Newest(ctx context.Context, dir string, most Most) (Extent, error) {
	all, err := segments(dir)
	if err != nil {
		return Extent{}, err
	}
	n := newest{left: most, seen: make(map[netip.Addr]struct{})}
	for _, s := range slices.Backward(all) {
		frames, err := framesOf(s.path)
		if err != nil {
			return Extent{}, err
		}
		for _, b := range slices.Backward(frames) {
			if ctx.Err() != nil {
				return Extent{}, context.Cause(ctx)
			}
			f, _, ok := next(b)
			if ok && !n.take(f) {
				return n.extent, nil
			}
		}
	}
	return n.extent, nil
}

// newest adds up frames, from the newest one back.
type newest struct {
	extent Extent
	left   Most
	seen   map[netip.Addr]struct{}
}

// take reports whether a frame lies within the bounds. If so, it adds the frame
// to the part.
func (n *newest) take(f *frame) bool {
	n.left.Rows -= len(f.rows)
	for i := range f.rows {
		r := &f.rows[i]
		n.seen[r.address()] = struct{}{}
		n.left.Calls -= min(n.left.Calls, uint64(r.calls))
	}
	if !n.extent.From.IsZero() && (n.left.Rows < 0 || n.left.Calls == 0 || len(n.seen) > n.left.Callers) {
		n.extent.Cut = true
		return false
	}
	from, to := moment(f.from), moment(f.to+1) // the second in which it was written has rows, too
	if n.extent.From.IsZero() {
		n.extent.From, n.extent.To = from, to
	}
	if from.Before(n.extent.From) { // unless the clock was put back
		n.extent.From = from
	}
	if to.After(n.extent.To) {
		n.extent.To = to
	}
	return true
}

// framesOf returns the frames of a file with their heads, in order. It does not
// check them. It leaves out an incomplete one.
func framesOf(path string) (frames [][]byte, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the file was too old and has been removed
	} else if err != nil {
		return nil, err
	}
	rest, _ := bytes.CutPrefix(b, []byte(magic))
	for len(rest) >= headBytes {
		length := headBytes + uint64(binary.BigEndian.Uint32(rest))
		if length > uint64(len(rest)) {
			break
		}
		frames, rest = append(frames, rest[:length]), rest[length:]
	}
	return frames, nil
}
