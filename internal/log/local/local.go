// Package local is the log of a server that stands alone. It gives entries
// their order, has the machine apply them, and waits until their effects are on
// the disk. It keeps no entries: the machine's write-ahead log keeps their
// effects.
//
// Requests that arrive while others are applied form a group. The first of them
// applies them all as one entry, with one wait for the disk, because the cost
// of an entry and of a wait does not depend on the number of requests. A busy
// server pays it once for many requests, and on an idle server nobody waits for
// others.
package local

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"trackway/internal/entry"
)

// Machine applies entries, one at a time.
type Machine interface {
	// Apply carries out the entry with this index and commits what it does,
	// with the index, without waiting for the disk. It writes what became of
	// the entry into it. After an error nothing is committed, and the next
	// entry has the same index; an error that is [ErrNotCommitted] does not
	// depend on what is in the entry. A panic is returned as a [*PanicError],
	// unless the machine may have committed by then.
	Apply(index uint64, e entry.Entry) error

	// Applied returns the index of the last entry that was applied.
	Applied() uint64

	// Sync returns when all that was committed before the call is on the disk.
	Sync() error
}

// Errors.
var (
	ErrClosed       = errors.New("the log is closed")
	ErrNotCommitted = errors.New("batch not committed")

	errGivenUp = errors.New("the request that others were applied with has failed") // by a panic
)

// PanicError is a panic of the machine on its way to the caller that appended
// the entry, which may wait in another goroutine.
type PanicError struct {
	Value any
	Stack []byte
}

func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Log is the log. It is safe for concurrent use.
type Log struct {
	machine Machine

	gathering gathering // takes in requests while others are applied

	// order is held while an entry gets its index and is applied, so that these
	// are one step. It is taken before the machine's own lock, and guards
	// closed.
	order sync.Mutex

	// turn lets one group at a time wait for order. So any other entry waits
	// for at most two groups, however many there are. An erasure, for example,
	// has to be applied before the log has grown too much.
	turn sync.Mutex

	closed bool
}

// Open returns the log of a machine. It continues after the entries that the
// machine has applied.
func Open(m Machine) *Log { return &Log{machine: m} }

// Append applies an entry, and waits until its effects are on the disk unless a
// crash may forget its kind. The entry then holds its results.
//
// An error is the server's own. A command that failed alone has its error in
// the request; the others are applied and durable. After any other error the
// entry may or may not be stored. If the machine panics, Append panics with a
// [*PanicError].
func (l *Log) Append(e entry.Entry) error {
	if c, ok := e.(*entry.Commands); ok {
		return l.commands(c)
	}
	err := l.one(e)
	if bug, ok := errors.AsType[*PanicError](err); ok {
		panic(bug)
	}
	if err != nil || !e.Kind().Durable() {
		return err
	}
	return l.machine.Sync()
}

// Close ends the log. It refuses later entries.
func (l *Log) Close() {
	l.order.Lock()
	defer l.order.Unlock()
	l.closed = true
}

func (l *Log) one(e entry.Entry) error {
	l.order.Lock()
	defer l.order.Unlock()
	return l.applyLocked(e)
}

func (l *Log) applyLocked(e entry.Entry) error {
	if l.closed {
		return ErrClosed
	}
	return l.machine.Apply(l.machine.Applied()+1, e)
}

// maxGroup is how many commands one group takes. It bounds how long a group
// holds the machine and how large its batch is; a request's own commands are
// never parted.
const maxGroup = 1024

// group is the requests that are applied together.
type group struct {
	entry    entry.Commands
	part     entry.Commands // of the entry, as it is applied
	commands int
	done     chan struct{} // closed when err and all results are there
	err      error         // of all
}

// gathering puts requests into groups.
type gathering struct {
	mu  sync.Mutex
	now *group // takes requests in; nil: none is open
}

// join adds requests to the open group. It returns the place of the first of
// them in it. The caller with place 0 has to apply the group.
func (g *gathering) join(requests []entry.Request) (joined *group, place int) {
	commands := 0
	for i := range requests {
		commands += len(requests[i].Commands)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil || g.now.commands+commands > maxGroup {
		g.now = &group{done: make(chan struct{})}
	}
	place = len(g.now.entry.Requests)
	g.now.entry.Requests = append(g.now.entry.Requests, requests...)
	g.now.commands += commands
	return g.now, place
}

// close keeps further requests from joining gr.
func (g *gathering) close(gr *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == gr {
		g.now = nil
	}
}

// commands appends requests together with others.
func (l *Log) commands(c *entry.Commands) error {
	if len(c.Requests) == 0 {
		return nil
	}
	g, place := l.gathering.join(c.Requests)
	if place == 0 {
		l.lead(g)
	} else {
		<-g.done
	}
	copy(c.Requests, g.entry.Requests[place:])
	err := g.err
	for i := range c.Requests {
		failed := c.Requests[i].Err
		if bug, ok := errors.AsType[*PanicError](failed); ok {
			panic(bug) // where it belongs: it is answered and logged as this request's
		}
		if err == nil {
			err = failed
		}
	}
	return err
}

// lead applies a group and waits until it is on the disk.
func (l *Log) lead(g *group) {
	g.err = errGivenUp // until the disk has it, whatever ends this goroutine
	defer close(g.done)
	runtime.Gosched() // requests that are ready to join need a processor to do so
	err := l.apply(g)
	if err == nil {
		err = l.machine.Sync()
	}
	g.err = err
}

// apply applies a group. If requests have kept others waiting for long enough,
// the rest of the group goes into another entry.
//
// If a request fails because of a damaged record or a panic, the others do not
// fail with it: the requests of that entry are applied again, each by itself.
// All of them fail only if the machine cannot commit at all.
func (l *Log) apply(g *group) error {
	at, alone := 0, false
	for more := true; more; more = at < len(g.entry.Requests) { // which may grow until applySome has closed the group
		next, err := l.applySome(g, at, alone)
		switch {
		case err == nil:
			at = next
		case errors.Is(err, ErrNotCommitted), errors.Is(err, ErrClosed):
			return err
		case !alone:
			alone = true
		default:
			g.entry.Requests[at].Err = err
			at++
		}
	}
	return nil
}

// applySome applies the requests of a group that begin at an index, or only the
// one at that index. It returns the index of the first request that was not
// reached.
func (l *Log) applySome(g *group, at int, alone bool) (next int, err error) {
	l.turn.Lock()
	l.order.Lock()
	defer l.order.Unlock()
	l.turn.Unlock()
	l.gathering.close(g)
	end := len(g.entry.Requests)
	if alone {
		end = at + 1
	}
	g.part.Requests = g.entry.Requests[at:end]
	if err := l.applyLocked(&g.part); err != nil {
		return at, err
	}
	for at < end && g.entry.Requests[at].Reached() {
		at++
	}
	return at, nil
}
