package feed

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// window has the rows that were sent and are not yet acknowledged. It bounds how far the sender runs ahead, and with it the
// memory that an import takes.
type window struct {
	mu      sync.Mutex // guards what follows; nothing is read or written under it
	changed *sync.Cond
	rows    []record
	first   int   // of rows that are on their way
	bytes   int   // of their texts
	taken   int64 // rows that were acknowledged
	closed  bool
}

// windowRows and windowBytes are some of the server's batches.
const (
	windowRows  = 10_000
	windowBytes = 16 << 20
)

func (w *window) init() { w.changed = sync.NewCond(&w.mu) }

// full tells whether there is no room. The caller holds mu.
func (w *window) full() bool { return len(w.rows)-w.first >= windowRows || w.bytes >= windowBytes }

// waits tells whether add would wait: then everything that was added has to be on its way, or it waits for ever.
func (w *window) waits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full() && !w.closed
}

// add waits for room and adds a row. It returns false once nothing more is to be sent.
func (w *window) add(rec *record) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.full() && !w.closed {
		w.changed.Wait()
	}
	if w.closed {
		return false
	}
	if w.first >= windowRows || w.first == len(w.rows) {
		w.rows = append(w.rows[:0], w.rows[w.first:]...)
		w.first = 0
	}
	w.rows = append(w.rows, *rec)
	w.bytes += rec.size()
	return true
}

// take removes the rows up to the one that was sent as the given line, and returns them with the line of the first.
func (w *window) take(line int64) (rows []record, first int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first = w.taken + 1
	n := min(int(line-w.taken), len(w.rows)-w.first)
	rows = slices.Clone(w.rows[w.first : w.first+n])
	clear(w.rows[w.first : w.first+n])
	for i := range rows {
		w.bytes -= rows[i].size()
	}
	w.first, w.taken = w.first+n, line
	w.changed.Signal()
	return rows, first
}

// close lets add wait no longer. What was added can still be taken.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.changed.Broadcast()
}

// body is the request's body: the commands of the rows, a line each. It is read as fast as the server takes it.
type body struct {
	run  *run
	ctx  context.Context //nolint:containedctx // of the one request that this is the body of
	rest []byte
	room []byte

	closed chan struct{} // closed by Close
	once   sync.Once

	mu    sync.Mutex
	cause error // what ended it, but for the end of the file
}

// sendBytes is how much is collected before it is sent, unless the input or the window makes us wait.
const sendBytes = 64 << 10

// nothing is sent for a row that was refused here already: the server refuses it, too, and so counts it in its place.
var nothing = []byte("{}")

// Read implements [io.Reader]. When ctx has ended so does the body.
func (b *body) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements [io.Closer].
func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *body) fill() error {
	b.room = b.room[:0]
	for b.err() == nil && b.ctx.Err() == nil && len(b.room) < sendBytes && (len(b.room) == 0 || !b.waits()) {
		rec, err := b.run.records.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				b.fail(err)
			}
			break
		}
		if rec.refused != nil {
			rec.command = nothing
		}
		if !b.run.window.add(&rec) {
			break
		}
		b.room = append(append(b.room, rec.command...), '\n')
	}
	if b.rest = b.room; len(b.rest) == 0 {
		return io.EOF
	}
	return nil
}

// waits tells whether the next row may make us wait, so that what was collected is to be sent before.
func (b *body) waits() bool { return b.run.in.idle() || b.run.window.waits() }

func (b *body) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = err
}

func (b *body) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cause
}
