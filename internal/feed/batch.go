package feed

import (
	"context"
	"errors"
	"fmt"
	"io"

	"trackway/internal/control"
)

// batch is rows that are sent together.
type batch struct {
	rows []record
	text []byte // their commands, a line each
	end  error  // what ended the file behind them; nil: there may be more

	stored   chan struct{} // closed once the server has stored them
	answered chan struct{} // closed once outcomes and err are set
	outcomes []control.Outcome
	err      error
}

// nothing is sent for a row that was refused here already. The server refuses
// it, too, and so counts it.
var nothing = []byte("{}")

// longLine refuses a line that is longer than any command.
var longLine = &control.Refusal{Error: fmt.Sprintf("A line may have at most %d bytes.", control.MaxLine)}

// gather reads the next batch. A batch is smaller than it may be if the input
// would have to be waited for. room is how much its text may take, as a guess.
func (r *run) gather(room int) *batch {
	b := &batch{
		rows: make([]record, 0, control.MaxLines), text: make([]byte, 0, room),
		stored: make(chan struct{}), answered: make(chan struct{}),
	}
	for len(b.rows) < control.MaxLines && len(b.text)+control.MaxLine < control.MaxBatch && (len(b.rows) == 0 || !r.in.idle()) {
		rec, err := r.records.next()
		if err != nil {
			b.end = err
			break
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
	return b
}

// read gathers batches until the file or ctx ends, and closes the channel.
func (r *run) read(ctx context.Context, batches chan<- *batch) {
	defer close(batches)
	for room := 0; ; {
		b := r.gather(room)
		room = len(b.text) + len(b.text)/8
		select {
		case batches <- b:
		case <-ctx.Done():
			return
		}
		if b.end != nil {
			return
		}
	}
}

// send sends a batch, and reads the answer.
func (r *run) send(ctx context.Context, b *batch, body io.Reader) {
	defer close(b.answered)
	answer, err := r.Post(ctx, body, int64(len(b.text)))
	if err != nil {
		b.err = err
		return
	}
	close(b.stored)
	defer func() { _ = answer.Close() }() // what was read is read
	if b.outcomes, b.err = control.ReadOutcomes(answer, len(b.rows)); b.err != nil {
		b.err = fmt.Errorf("the server's answer was cut off (%w)", b.err)
	}
}

// body is the text of a batch as a request sends it. It holds the last byte
// back until the batch before is stored, because the server applies a batch
// once its body is complete. This keeps the order of the file, though the
// server reads and decodes several batches at a time.
type body struct {
	rest   []byte
	before <-chan struct{}
	ctx    context.Context //nolint:containedctx // of the import; when it ends, what is held back is never sent
}

// errHeld ends a body whose last byte is not to be sent any more.
var errHeld = errors.New("the batch before is not stored")

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	switch len(b.rest) {
	case 0:
		return 0, io.EOF
	case 1:
		select {
		case <-b.before:
		case <-b.ctx.Done():
		}
		if b.ctx.Err() != nil {
			return 0, errHeld
		}
	}
	n := copy(p, b.rest[:max(1, len(b.rest)-1)])
	b.rest = b.rest[n:]
	return n, nil
}
