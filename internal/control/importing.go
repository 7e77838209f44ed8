package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"trackway"
	"trackway/internal/format/foreign"
	"trackway/internal/format/tracking"
)

// The bounds on a batch of an import. The store applies a batch under its lock,
// so the size also determines how long others wait: 1000 commands take about 5
// ms. Groups of other requests may have 1024 commands, too. Each batch costs a
// round trip and a disk sync: with batches of 500, the server needs 8 % more
// processor time, and with batches of 250 a fifth more.
const (
	MaxLines = 1000
	MaxBatch = 3 << 20 // bytes
	// MaxLine is how many bytes a line of a file may have. No valid command is
	// half as long.
	MaxLine = 2 << 20
)

// importing applies a batch: a body with one command per line. It decodes lines
// as they arrive, and applies them in order once the body has ended. So a
// sender can have several batches decoded ahead. To keep their order, the
// sender holds back the last byte of each batch until the previous batch was
// answered. A body that is cut off changes nothing.
//
// The answer has an [Outcome] for each line. It is sent when the batch is on
// the disk.
func (c *call) importing() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	if err := c.sameStore(); err != nil {
		return err
	}
	b := batches.Get().(*batch) // of this pool
	defer b.free()
	if b.decode, b.from, err = c.decoder(p); err != nil {
		return err
	}
	if err := b.read(http.MaxBytesReader(c.w, c.r.Body, MaxBatch), c.r.ContentLength); err != nil {
		return err
	}
	if err := c.recordImport(p.Name); err != nil {
		return err
	}
	at := c.receipts.next(trackway.MicrosOf(time.Now()), len(b.commands))
	b.receive(at)
	if err := b.accept(c.Ingest, p); err != nil {
		return &loggedError{err}
	}
	c.as("application/x-ndjson")
	_, _ = c.Write(b.answer()) // if the caller has gone, it sends the batch again
	return nil
}

// decoder returns the function that decodes the lines of a batch: commands of
// the tracking API, or what a vendor has exported (?from=).
func (c *call) decoder(p *trackway.Project) (foreign.Decode, *foreign.Source, error) {
	vendor := c.query.Get("from")
	if vendor == "" {
		return nil, nil, nil
	}
	decode := foreign.Of(vendor)
	if decode == nil {
		return nil, nil, refuse("from", fmt.Sprintf("The vendor %q is unknown. Known vendors are: %s.", vendor, strings.Join(foreign.Vendors(), ", ")))
	}
	from := &foreign.Source{Project: p, Received: trackway.MicrosOf(time.Now()), EventType: c.query.Get("event_type")}
	from.AsOf = from.Received
	if text := c.query.Get("as_of"); text != "" {
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, nil, refuse("as_of", "The time must be a number of microseconds.")
		}
		from.AsOf = min(trackway.Micros(micros), from.Received)
	}
	return decode, from, nil
}

// batch holds the commands of one request.
type batch struct {
	decode   foreign.Decode  // of lines from a vendor's export; nil: each line is a command
	from     *foreign.Source // of these lines
	lines    []decoded
	commands []trackway.Command
	results  []trackway.Result
}

// decoded is the content of one line of a batch.
type decoded struct {
	status   string // if its commands are accepted
	commands int    // how many it has become
}

// batches reuses the memory of batches. Without it, an import allocated a third
// more.
var batches = sync.Pool{New: func() any { return new(batch) }}

// free makes the batch's memory available to a later one.
func (b *batch) free() {
	clear(b.commands) // they hold on to what was read
	clear(b.results)
	*b = batch{lines: b.lines[:0], commands: b.commands[:0], results: b.results[:0]}
	batches.Put(b)
}

// read decodes a body line by line, as it arrives. The last line needs no line
// break. length is the body's length, or -1 if that is unknown.
func (b *batch) read(body io.Reader, length int64) error {
	const part = 64 << 10 // bytes to read at once if the length is unknown
	room := min(length, MaxBatch) + 1
	if length < 0 {
		room = part
	}
	rest, seen := make([]byte, 0, room), 0 // no break is in rest[:seen]
	for {
		if len(rest) == cap(rest) { // decoded lines must not be moved
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

// add decodes a line. It keeps references to parts of it.
func (b *batch) add(text []byte) error {
	if len(b.lines) == MaxLines {
		return errTooLarge
	}
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		b.addCommand(trackway.Command{}, nil)
		b.lines = append(b.lines, decoded{Nothing, 1})
	case b.decode != nil:
		b.addForeign(text)
	default:
		c, err := tracking.DecodeLine(text, trackway.MicrosOf(time.Now()))
		b.lines = append(b.lines, decoded{statusOf(&c, err), 1})
		b.addCommand(c, err)
	}
	return nil
}

// addForeign decodes a line of a vendor's export. The line may become several
// commands, or none.
func (b *batch) addForeign(text []byte) {
	commands, err := b.decode(text, b.from)
	if err != nil {
		b.lines = append(b.lines, decoded{Stored, 1})
		b.addCommand(trackway.Command{}, err)
		return
	}
	l := decoded{Nothing, len(commands)}
	for i := range commands {
		if l.status != Stored {
			l.status = statusOf(&commands[i], nil)
		}
		b.addCommand(commands[i], nil)
	}
	b.lines = append(b.lines, l)
}

func (b *batch) addCommand(c trackway.Command, err *trackway.Error) {
	b.commands, b.results = append(b.commands, c), append(b.results, trackway.Result{Err: err})
}

// statusOf returns the status of a command's line, unless the command is
// refused.
func statusOf(c *trackway.Command, err *trackway.Error) string {
	switch {
	case c.Kind == trackway.Nothing && err == nil:
		return Nothing
	case c.Kind == trackway.UpdateCustomer:
		return Updated
	}
	return Stored
}

// accept stores the commands in parts, because one line of a vendor's export
// may have become thousands of commands. A part has at most as many commands as
// a batch has lines.
func (b *batch) accept(in Ingest, p *trackway.Project) error {
	for i := 0; i < len(b.commands); i += MaxLines {
		end := min(i+MaxLines, len(b.commands))
		if err := in.Accept(p, b.commands[i].Received, b.commands[i:end], b.results[i:end]); err != nil {
			return err
		}
	}
	return nil
}

// receipts assigns times of receipt to commands.
type receipts struct {
	mu   sync.Mutex // guards last
	last trackway.Micros
}

// next returns the first of n microseconds that come after all those that were
// assigned before. If the clock was set back by a second or more, it starts
// again from the clock.
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
		if !c.TimeGiven { // the time of receipt, or that minus an age
			c.Time += at - c.Received
		}
		c.Received = at
		at++
	}
}

// answer returns the outcome of each line.
func (b *batch) answer() []byte {
	var text []byte
	next := 0
	for _, l := range b.lines {
		o := Outcome{Status: l.status}
		o.note(b.commands[next:next+l.commands], b.results[next:next+l.commands])
		next += l.commands
		text = o.append(text)
	}
	return text
}
