// Package verify compares a store's log with what a destination has. It reads
// both, range by range, and reports exactly which events are missing, doubled
// or different. On request it repairs them.
//
// It compares contents, not counts: a destination that lost one event and has
// another one twice has the right count. We rejected a sum of hashes that the
// destination computes, because databases print the same value in different
// ways.
package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
)

// The sizes of what is handled at once.
const (
	rangeNumbers = 100_000  // numbers of changes compared at once: 16 MB of memory at most
	chunkEvents  = 20_000   // events mended at once
	chunkBytes   = 16 << 20 // of their properties
)

// Log is the events that a destination should have, after filters, drops and
// renames.
type Log interface {
	// Events calls yield for the events with sequence numbers from low up to,
	// but not including, high, in order. The event is valid only during the
	// call. Events calls lost with the numbers of events that cannot be read.
	Events(ctx context.Context, low, high uint64, yield func(*destination.Event) error, lost func(seq uint64)) error

	// Pending reports whether an erasure has changed a customer's events since
	// the destination reached its position.
	Pending(project string, c trackway.Customer) (bool, error)

	// Last returns the number of the last change.
	Last() uint64
}

// Check describes a comparison. Log, Use and Progress are required.
type Check struct {
	Log            Log
	After, Through uint64          // the numbers above After and up to Through are compared
	Expired        uint64          // the highest number that has expired: the destination may still have such events
	Rejected       map[uint64]bool // events that the destination has rejected
	Mend           bool

	// Use calls do while nothing else writes into the destination.
	Use func(ctx context.Context, do func(context.Context, destination.Reader) error) error

	// Progress is called from time to time with the number up to which
	// everything is compared.
	Progress func(through uint64)
}

// Run compares. If it mends a part, it compares that part again. An error means
// that the comparison was not finished. A difference is not an error.
func (c *Check) Run(ctx context.Context) (*Report, error) {
	r := &Report{After: c.After, Through: c.Through}
	for low := c.After + 1; low <= c.Through; low += rangeNumbers {
		high := min(low+rangeNumbers, c.Through+1)
		if err := c.Use(ctx, func(ctx context.Context, to destination.Reader) error { return c.part(ctx, r, to, low, high) }); err != nil {
			return nil, fmt.Errorf("compare the events from %d to %d: %w", low, high-1, err)
		}
		c.Progress(high - 1)
	}
	if err := c.Use(ctx, func(ctx context.Context, to destination.Reader) error { return c.beyond(ctx, r, to) }); err != nil {
		return nil, fmt.Errorf("look for events that the log does not have yet: %w", err)
	}
	r.sort()
	return r, nil
}

// beyond finds events with numbers that the log has not reached. They come from
// the store that was lost before a backup was restored. Events between the
// position and the last change are about to be sent, perhaps for the second
// time.
func (c *Check) beyond(ctx context.Context, r *Report, to destination.Reader) error {
	low, n := c.Log.Last()+1, uint64(0)
	err := to.Events(ctx, low, math.MaxUint64, func(e *destination.Event) bool {
		n++
		r.Found++
		r.note(Finding{Seq: e.Seq, Kind: Foreign, Type: e.Type, At: e.At})
		return true
	})
	if err != nil || n == 0 || !c.Mend {
		return err
	}
	r.Mended++
	return to.Mend(ctx, low, math.MaxUint64, nil)
}

// part compares a range, and mends it.
func (c *Check) part(ctx context.Context, r *Report, to destination.Reader, low, high uint64) error {
	p, err := c.compare(ctx, r, to, low, high)
	if err != nil {
		return err
	}
	bad := p.chunks()
	if !c.Mend || len(bad) == 0 {
		return nil
	}
	for _, b := range bad {
		if err := c.mend(ctx, to, b.low, b.high); err != nil {
			return fmt.Errorf("mend the events from %d to %d: %w", b.low, b.high-1, err)
		}
		r.Mended++
	}
	var again Report
	if _, err = c.compare(ctx, &again, to, low, high); err != nil {
		return err
	}
	r.Left += again.Problems()
	return nil
}

// record is what the comparison remembers of an event of the log.
type record struct {
	seq          uint64
	customer     trackway.Customer
	at, received trackway.Micros
	typ          string
	properties   hash
	size         int    // of the properties
	project      string // shared by all records
	found        int    // how often the destination has it
}

// hash is a hash of properties in a form in which equal numbers are equal: a
// database may print 1e3 as 1000.
type hash [sha256.Size]byte

func (p *compared) hash(properties []byte) hash {
	s := canonjson.Scan(properties)
	s.Value()
	if s.End(); s.Bad() { // somebody has altered them, so they equal nothing else
		p.room = append(append(p.room[:0], "not JSON: "...), properties...)
	} else {
		p.room = canonjson.AppendNormal(p.room[:0], properties)
	}
	return sha256.Sum256(p.room)
}

func (p *compared) recordOf(e *destination.Event) record {
	return record{
		seq: e.Seq, customer: e.Customer, at: e.At, received: e.Received, typ: e.Type, project: e.Project,
		properties: p.hash(e.Properties), size: len(e.Properties),
	}
}

// differs returns the names of the fields in which an event of the destination
// differs.
func (r *record) differs(e *destination.Event, properties hash) (fields []string) {
	add := func(differs bool, name string) {
		if differs {
			fields = append(fields, name)
		}
	}
	add(e.Project != "" && e.Project != r.project, "project")
	add(e.Customer != r.customer, "customer")
	add(e.Type != r.typ && e.Type != strings.ReplaceAll(r.typ, "\x00", "\uFFFD"), "type") // databases lack U+0000
	add(e.At != r.at, "at")
	add(e.Received != r.received, "received_at")
	add(properties != r.properties, "properties")
	return fields
}

// compared is a range that is being compared.
type compared struct {
	low, high  uint64
	records    []record        // by sequence number
	wrong      []uint64        // numbers of the findings, at most two for each number
	unreadable map[uint64]bool // the log has lost them
	report     *Report
	room       []byte // for one object
}

func (p *compared) note(f Finding) {
	if n := len(p.wrong); n == 0 || p.wrong[n-1] != f.Seq {
		p.wrong = append(p.wrong, f.Seq)
	}
	p.report.note(f)
}

var errOrder = errors.New("bug: the destination's events are not in the order of their numbers")

// compare compares a range, and adds the result to a report.
func (c *Check) compare(ctx context.Context, r *Report, to destination.Reader, low, high uint64) (*compared, error) {
	p := &compared{low: low, high: high, unreadable: make(map[uint64]bool), report: r}
	types := make(map[string]string) // so that records share the memory of a type
	err := c.Log.Events(ctx, low, high, func(e *destination.Event) error {
		known := p.recordOf(e)
		if typ, ok := types[e.Type]; ok {
			known.typ = typ
		} else {
			types[e.Type] = e.Type
		}
		p.records = append(p.records, known)
		r.sum(e.At, e.Type).Log++
		return nil
	}, func(seq uint64) { p.unreadable[seq] = true })
	if err != nil {
		return nil, fmt.Errorf("the log: %w", err)
	}
	r.Log += uint64(len(p.records))
	next, last := 0, uint64(0)
	var failed error
	err = to.Events(ctx, low, high, func(e *destination.Event) bool {
		if e.Seq < last || e.Seq < low || e.Seq >= high {
			failed = errOrder
			return false
		}
		last = e.Seq
		for next < len(p.records) && p.records[next].seq < e.Seq {
			next++
		}
		p.report.Found++
		if next == len(p.records) || p.records[next].seq != e.Seq {
			c.unknown(p, e)
			return true
		}
		failed = c.known(p, &p.records[next], e)
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	for i := range p.records {
		c.absent(p, &p.records[i])
	}
	return p, nil
}

// unknown notes an event of the destination that the log does not have.
func (c *Check) unknown(p *compared, e *destination.Event) {
	switch {
	case p.unreadable[e.Seq]:
		p.report.Unreadable++
	case e.Seq <= c.Expired:
		p.report.Expired++
	default:
		p.note(Finding{Seq: e.Seq, Kind: Foreign, Type: e.Type, At: e.At})
	}
}

// known compares an event that both have.
func (c *Check) known(p *compared, r *record, e *destination.Event) error {
	if r.found++; r.found > 1 {
		p.note(Finding{Seq: r.seq, Kind: Doubled, Type: r.typ, At: r.at})
		return nil
	}
	fields := r.differs(e, p.hash(e.Properties))
	if len(fields) == 0 {
		return nil
	}
	if pending, err := c.Log.Pending(r.project, r.customer); err != nil {
		return err
	} else if pending {
		p.report.Pending++
		return nil
	}
	p.note(Finding{Seq: r.seq, Kind: Different, Type: r.typ, At: r.at, Fields: fields})
	return nil
}

// absent notes an event that the destination does not have.
func (c *Check) absent(p *compared, r *record) {
	switch {
	case r.found > 0:
	case c.Rejected[r.seq]:
		p.report.Rejected++
	default:
		p.note(Finding{Seq: r.seq, Kind: Missing, Type: r.typ, At: r.at})
	}
}
