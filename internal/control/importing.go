package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"trackway"
	"trackway/internal/format/tracking"
)

// Bounds on a batch of an import. The store applies a batch under its lock, so
// the size is also how long others wait: 1000 commands take some 5 ms. Groups
// of other requests may have 1024 commands, too. Between two batches lie a
// round trip and a sync of the disk: batches of 500 cost the server 8 % more
// processor time, batches of 250 a fifth more time.
const (
	MaxLines = 1000
	MaxBatch = 3 << 20 // bytes
	// MaxLine is how many bytes a line of a file may have. No command that is
	// accepted is half as long.
	MaxLine = 2 << 20
)

// importing applies a batch: a body of commands, a line each. It decodes lines
// as they come, and applies them in order once the body has ended. So a sender
// can have several batches decoded ahead, and keeps their order if it sends the
// last byte of each only after the batch before was answered. A body that is
// cut off changes nothing.
//
// The answer comes when the batch is on the disk: an [Outcome] for each line.
func (c *call) importing() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	if name := c.query.Get("store"); name != "" && name != c.Name {
		return refuse("store", "The server has another store than before.")
	}
	b := batches.Get().(*batch) //nolint:forcetypeassert // of this pool
	defer b.free()
	if err := b.read(http.MaxBytesReader(c.w, c.r.Body, MaxBatch), c.r.ContentLength); err != nil {
		return err
	}
	at := c.receipts.next(trackway.MicrosOf(time.Now()), len(b.commands))
	b.receive(at)
	if err := c.Ingest.Accept(p, at, b.commands, b.results); err != nil {
		return &loggedError{err}
	}
	c.as("application/x-ndjson")
	_, _ = c.Write(b.answer()) // a caller that has gone sends the batch again
	return nil
}

// batch is the commands of one request.
type batch struct {
	lines    []string // status of each line, if its command is accepted
	commands []trackway.Command
	results  []trackway.Result
}

// batches has memory for batches: without it an import allocated a third more.
var batches = sync.Pool{New: func() any { return new(batch) }}

// free gives the batch's memory to a later one.
func (b *batch) free() {
	clear(b.commands) // they hold on to what was read
	clear(b.results)
	b.lines, b.commands, b.results = b.lines[:0], b.commands[:0], b.results[:0]
	batches.Put(b)
}

// read decodes a body line by line, while it comes. The last line needs no
// break. length is the body's, -1 if it is not known.
func (b *batch) read(body io.Reader, length int64) error {
	const part = 64 << 10 // to read at once if the length is not known
	room := min(length, MaxBatch) + 1
	if length < 0 {
		room = part
	}
	rest, seen := make([]byte, 0, room), 0 // no break is in rest[:seen]
	for {
		if len(rest) == cap(rest) { // lines that were decoded stay where they are
			rest = slices.Grow(rest, max(part, len(rest)))
		}
		n, failed := body.Read(rest[len(rest):cap(rest)])
		rest = rest[:len(rest)+n]
		for i := bytes.IndexByte(rest[seen:], '\n'); i >= 0; i = bytes.IndexByte(rest, '\n') {
			if err := b.add(rest[: seen+i : seen+i]); err != nil {
				return err
			}
			rest, seen = rest[seen+i+1:], 0
		}
		seen = len(rest)
		switch tooLarge := (*http.MaxBytesError)(nil); {
		case errors.Is(failed, io.EOF) && len(rest) > 0:
			return b.add(rest)
		case errors.Is(failed, io.EOF):
			return nil
		case errors.As(failed, &tooLarge):
			return errTooLarge
		case failed != nil:
			return refuse("", "The batch was cut off.")
		}
	}
}

var errTooLarge = refuse("", fmt.Sprintf("A batch may have at most %d lines and %d bytes.", MaxLines, MaxBatch))

// add decodes a line. It keeps parts of it.
func (b *batch) add(line []byte) error {
	if len(b.lines) == MaxLines {
		return errTooLarge
	}
	var c trackway.Command // of the kind Nothing
	var r trackway.Result
	if len(bytes.TrimSpace(line)) > 0 {
		c, r.Err = tracking.DecodeLine(line, trackway.MicrosOf(time.Now()))
	}
	status := Stored
	switch {
	case c.Kind == trackway.Nothing && r.Err == nil:
		status = Nothing
	case c.Kind == trackway.UpdateCustomer:
		status = Updated
	}
	b.lines, b.commands, b.results = append(b.lines, status), append(b.commands, c), append(b.results, r)
	return nil
}

// receipts gives commands the times at which they are received.
type receipts struct {
	mu   sync.Mutex // guards last
	last trackway.Micros
}

// next returns the first of n microseconds that come after all those that were
// given before. They begin again if the clock is set back by a second or more.
func (r *receipts) next(now trackway.Micros, n int) trackway.Micros {
	const second = 1_000_000
	r.mu.Lock()
	defer r.mu.Unlock()
	if ahead := r.last - now; ahead >= 0 && ahead < second {
		now = r.last + 1
	}
	r.last = now + trackway.Micros(n) - 1
	return now
}

// receive sets the commands' times of receipt, a microsecond apart. The
// commands may have been decoded before those of the previous batch, but must
// not seem older.
func (b *batch) receive(at trackway.Micros) {
	for i := range b.commands {
		c := &b.commands[i]
		if !c.TimeGiven { // it is the time of receipt, or an age before it
			c.Time += at - c.Received
		}
		c.Received = at
		at++
	}
}

// answer returns what became of each line.
func (b *batch) answer() []byte {
	var text []byte
	for i, status := range b.lines {
		o := Outcome{Status: status}
		o.note(&b.commands[i], &b.results[i])
		text = o.append(text)
	}
	return text
}
