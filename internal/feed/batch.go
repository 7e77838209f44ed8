package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"trackway/internal/control"
)

// batch holds rows that are sent together.
type batch struct {
	rows []record
	text []byte // their commands, a line each
	end  error  // the error in the file after these rows

	stored   chan struct{} // closed once the server has stored them
	answered chan struct{} // closed once outcomes and err are set
	outcomes []control.Outcome
	err      error
}

// batches reuses the memory of batches. With new memory for each batch, the
// client took twice the processor time.
var batches = sync.Pool{New: func() any { return &batch{rows: make([]record, 0, control.MaxLines)} }}

// free makes the memory of an acknowledged batch available to a later one. By
// then the request has read all of the text, because the server answers 200
// only after the last byte.
func (b *batch) free() {
	clear(b.rows) // they hold on to what was read
	*b = batch{rows: b.rows[:0], text: b.text[:0], outcomes: b.outcomes[:0]}
	batches.Put(b)
}

// nothing is sent for a row that was already refused here. The server refuses
// it, too, so it counts the row.
var nothing = []byte("{}")

// longLine refuses a line that is longer than any command.
var longLine = &control.Refusal{Error: fmt.Sprintf("A line may have at most %d bytes.", control.MaxLine)}

// read gathers batches until the file or ctx ends, and closes the channel.
func (r *run) read(ctx context.Context, batches chan<- *batch) {
	defer close(batches)
	for {
		b, err := r.gather()
		if !errors.Is(err, io.EOF) {
			b.end = err
		}
		select {
		case batches <- b:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// gather reads the next batch. The batch is smaller than allowed if gather
// would otherwise have to wait for input. An error comes together with the rows
// before it, and is [io.EOF] at the end.
func (r *run) gather() (*batch, error) {
	b := batches.Get().(*batch) // of this pool
	b.stored, b.answered = make(chan struct{}), make(chan struct{})
	for len(b.rows) < control.MaxLines && len(b.text)+control.MaxLine < control.MaxBatch && (len(b.rows) == 0 || !r.in.idle()) {
		rec, err := r.records.next()
		if err != nil {
			return b, err
		}
		if len(rec.command) > control.MaxLine {
			rec.refused = longLine
		}
		if rec.refused != nil {
			rec.command = nothing
		}
		began := len(b.text)
		b.text = append(b.text, rec.command...)
		rec.command = b.text[began:]
		b.text = append(b.text, '\n')
		b.rows = append(b.rows, rec)
	}
	return b, nil
}

// inFlight is the maximum number of batches that are being sent or held back.
// It bounds the memory of an import, both here and at the server.
const inFlight = control.Conns

// flight holds the batches that are on their way.
type flight struct {
	post    Post
	batches []*batch        // the oldest first
	newest  <-chan struct{} // closed once the newest batch is stored
	sending sync.WaitGroup
}

// answered returns a channel that is closed once the oldest batch is answered,
// or nil if there is no batch.
func (f *flight) answered() <-chan struct{} {
	if len(f.batches) == 0 {
		return nil
	}
	return f.batches[0].answered
}

// send starts to send a batch. If ctx ends before the previous batch is stored,
// the last byte of this one is never sent.
func (f *flight) send(ctx context.Context, b *batch) {
	if len(b.rows) == 0 {
		return
	}
	text := &body{rest: b.text, before: f.newest, ctx: ctx}
	f.batches, f.newest = append(f.batches, b), b.stored
	f.sending.Go(func() {
		defer close(b.answered)
		answer, err := f.post(context.WithoutCancel(ctx), text, int64(len(b.text)))
		if err != nil {
			b.err = err
			return
		}
		close(b.stored)
		defer func() { _ = answer.Close() }() // what was read is read
		if b.outcomes, b.err = control.ReadOutcomes(b.outcomes, answer, len(b.rows)); b.err != nil {
			b.err = fmt.Errorf("the server's answer was cut off (%w)", b.err)
		}
	})
}

// body is the text of a batch as a request reads it. The server applies a batch
// once its body is complete. So body holds back the last byte until the
// previous batch is stored. This keeps the order of the file, although the
// server reads and decodes several batches at a time.
type body struct {
	rest   []byte
	before <-chan struct{} // nil: no earlier batch is under way
	ctx    context.Context //nolint:containedctx // of the request that sends this body
}

// errHeld ends a body whose last byte must never be sent.
var errHeld = errors.New("the previous batch is not stored")

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	switch len(b.rest) {
	case 0:
		return 0, io.EOF
	case 1:
		if b.before != nil {
			select {
			case <-b.before:
			case <-b.ctx.Done():
			}
		}
		if b.ctx.Err() != nil {
			return 0, errHeld
		}
	}
	n := copy(p, b.rest[:max(1, len(b.rest)-1)])
	b.rest = b.rest[n:]
	return n, nil
}
