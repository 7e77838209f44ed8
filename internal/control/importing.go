package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"trackway"
	"trackway/internal/format/cost"
	"trackway/internal/format/tracking"
)

// Bounds on what an import has in memory: two batches and the lines they are made of. A batch is applied under the store's lock,
// so that its size is also how long others wait: with 500 commands some 5 ms. 250 were a fifth slower.
const (
	batchCommands = 500
	batchBytes    = 16 << 20 // of memory, as package cost has it: some four times the lines
	// MaxLine is how many bytes a line of an import may have. No command that is accepted is half as long.
	MaxLine = 2 << 20
)

// Progress is what an import tells after each batch. The numbers are those since the beginning of the request: what was
// acknowledged is on the disk.
type Progress struct {
	Line       int64     `json:"line"`       // the last line that was acknowledged, counted from 1
	Stored     int64     `json:"stored"`     // events
	Duplicates int64     `json:"duplicates"` // events that were stored before
	Updates    int64     `json:"updates"`    // of customers
	Refused    int64     `json:"refused"`
	LeftOut    int64     `json:"left_out"`           // identifiers that name nobody
	Refusals   []Refusal `json:"refusals,omitempty"` // those of this batch
	Failed     string    `json:"failed,omitempty"`   // why it went no further
	Done       bool      `json:"done,omitempty"`     // the last line of the answer: all was taken in
}

// Refusal is a line that was not taken in.
type Refusal struct {
	Line  int64  `json:"line"`
	Field string `json:"field,omitempty"` // the field at fault
	Error string `json:"error"`
}

// importing takes a file of commands in, in order. While one batch is on its way to the disk, the next is read and decoded; a
// batch is whatever was read meanwhile, so that a slow sender waits for nobody.
func (c *call) importing() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	control := http.NewResponseController(c.w)
	if err := control.EnableFullDuplex(); err != nil {
		return err
	}
	c.w.Header().Set("Connection", "close") // a body that is not read to its end leaves nothing to go on with
	c.start("application/x-ndjson")
	if err := control.Flush(); err != nil {
		return err
	}
	q := newQueue()
	var reading sync.WaitGroup
	reading.Go(func() {
		q.finish(q.fill(c.r.Body))
		_, _ = io.Copy(io.Discard, c.r.Body) // see below
	})
	answer := json.NewEncoder(c.w)
	var at Progress
	for {
		b, err := q.take()
		if err != nil {
			at.Failed = err.Error() // a line is too long, or the caller has gone
			break
		} else if b == nil {
			at.Done = true
			break
		}
		if err := b.apply(c, p, &at); err != nil {
			c.Logger.Error("an import has failed", "err", err)
			at.Failed = "internal error: see the server's log"
			break
		}
		if err := errors.Join(answer.Encode(&at), control.Flush()); err != nil {
			break // the caller has gone
		}
	}
	q.finish(errEnded)
	at.Refusals = nil
	err = errors.Join(answer.Encode(&at), control.Flush())
	// A connection that is closed while there is something to read is reset, and what was written last may be lost on the way.
	_ = control.SetReadDeadline(time.Now().Add(lingerTime))
	reading.Wait()
	return err
}

// lingerTime is how long a sender may take to see that an import has ended before its time.
const lingerTime = 5 * time.Second

var errEnded = errors.New("the import has ended")

// batch is commands and the lines that they stand in.
type batch struct {
	commands []trackway.Command
	results  []trackway.Result
	lines    []int64
	bytes    int
	last     int64 // line
}

func (b *batch) full() bool { return len(b.commands) >= batchCommands || b.bytes >= batchBytes }

func (b *batch) clear() {
	clear(b.commands) // they hold on to what was read
	clear(b.results)
	*b = batch{commands: b.commands[:0], results: b.results[:0], lines: b.lines[:0]}
}

// add takes a line's command in, and what it costs. One that only asks for the time is passed over.
func (b *batch) add(line int64, size int, c trackway.Command, refused *trackway.Error) {
	b.last = line
	if c.Kind == trackway.Nothing && refused == nil {
		return
	}
	b.commands = append(b.commands, c)
	b.results = append(b.results, trackway.Result{Err: refused})
	b.lines = append(b.lines, line)
	b.bytes += size
}

// apply stores the batch and notes in at what became of it.
func (b *batch) apply(c *call, p *trackway.Project, at *Progress) error {
	if err := c.Ingest.Accept(p, trackway.MicrosOf(time.Now()), b.commands, b.results); err != nil {
		return err
	}
	at.Line, at.Refusals = b.last, nil
	for i := range b.results {
		at.LeftOut += int64(len(b.commands[i].LeftOut))
		switch r := &b.results[i]; {
		case r.Err != nil:
			at.Refused++
			at.Refusals = append(at.Refusals, Refusal{Line: b.lines[i], Field: r.Err.Field, Error: tracking.Text(r.Err)})
		case b.commands[i].Kind == trackway.UpdateCustomer:
			at.Updates++
		case r.Duplicate:
			at.Duplicates++
		default:
			at.Stored++
		}
	}
	return nil
}

// queue has the batch that is being read, while the one before it is applied.
type queue struct {
	mu      sync.Mutex // guards what follows; nothing is read, written or decoded under it
	changed *sync.Cond
	filling *batch
	spare   *batch // has been taken, and is given back by the next take
	err     error  // set at the end: io.EOF once all was read
}

func newQueue() *queue {
	q := &queue{filling: new(batch), spare: new(batch)}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// take returns the next batch once there is one, nil at the end, with an error where that came too early. The batch is the
// caller's until the next call.
func (q *queue) take() (*batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.filling.last == 0 && q.err == nil {
		q.changed.Wait()
	}
	if q.filling.last == 0 || q.err != nil && !errors.Is(q.err, io.EOF) {
		if errors.Is(q.err, io.EOF) {
			return nil, nil //nolint:nilnil // the end
		}
		return nil, q.err
	}
	q.spare.clear()
	q.filling, q.spare = q.spare, q.filling
	q.changed.Signal()
	return q.spare, nil
}

// add waits for room and adds a line's command.
func (q *queue) add(line int64, size int, c trackway.Command, refused *trackway.Error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.filling.full() && q.err == nil {
		q.changed.Wait()
	}
	if q.err != nil {
		return q.err
	}
	q.filling.add(line, size, c, refused)
	if len(q.filling.commands) <= 1 {
		q.changed.Signal()
	}
	return nil
}

// finish ends the queue; the first of several errors counts.
func (q *queue) finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.changed.Broadcast()
}

// fill reads lines and adds their commands until the end, which is [io.EOF].
func (q *queue) fill(from io.Reader) error {
	lines := lineReader{from: from}
	for n := int64(1); ; n++ {
		line, err := lines.next()
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		c, refused := tracking.DecodeLine(line, trackway.MicrosOf(time.Now()))
		if err := q.add(n, cost.Of(line), c, refused); err != nil {
			return err
		}
	}
}
