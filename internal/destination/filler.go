package destination

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
	"trackway/internal/sleep"
)

// filler makes batches from the changes of a store, in order. It runs one batch
// ahead of the writer.
type filler struct {
	store   Store
	storeID string
	called  string // the destination, by operators
	first   uint64 // it began after this change, and never got the events up to it
	view    *View
	rows    int // most of a batch
	bytes   int // limits of a batch; a single row may exceed them
	every   time.Duration
	joins   bool                           // events have a Holder
	lost    func(number uint64, err error) // receives what cannot be read and is left out
	done    func() ([]Erasure, error)      // erasures that are done, but that the destination still has as not done
	out     func(*Batch) error

	after uint64 // Through of the last batch with rows: the destination's position after that batch
	read  uint64 // all changes up to this number are in batches, or were left out
	more  bool   // the last batch was full, so there may be more to read at once

	looked time.Time // when done was called
}

const (
	mostPoll   = 250 * time.Millisecond // interval of looking for new changes: writers do not wake the filler
	mostPassed = 1 << 20                // changes that a batch may skip: progress is noted even if few concern it
	pieceBytes = 4 << 20                // of a batch of rewritten events only: two other batches are in memory then
	rowBytes   = 64                     // of a row, in addition to properties and identifiers
	donePause  = time.Minute            // between two calls of done
)

// run passes batches to out until ctx ends or out returns an error. A batch
// without rows only tells that the changes up to its Through do not concern the
// destination.
func (f *filler) run(ctx context.Context) error {
	for {
		b, err := f.next(ctx)
		if err != nil {
			return err
		}
		if err := f.out(b); err != nil {
			return err
		}
		if b.Rows() > 0 {
			f.after = b.Through
		}
	}
}

// next returns the next batch. Once there is something to read, it waits until
// the batch is full or the time for it is over.
func (f *filler) next(ctx context.Context) (*Batch, error) {
	m := f.begin()
	for due := (time.Time{}); ; {
		if !f.more && f.read == m.from {
			if b, err := f.await(ctx); b != nil || err != nil {
				return b, err
			}
		}
		if !f.more && due.IsZero() {
			due = time.Now().Add(f.every)
		}
		if err := f.gather(ctx, due, f.rows-m.Rows()); err != nil {
			return nil, err
		}
		full, err := f.take(m, f.store.Synced())
		if err != nil {
			return nil, err
		}
		if f.more = full; full || !due.IsZero() && !time.Now().Before(due) {
			return m.Batch, f.complete(ctx, m)
		}
	}
}

// await waits until there is something to read. If erasures are done, it
// returns a batch that does not move the position.
func (f *filler) await(ctx context.Context) (*Batch, error) {
	for {
		short, cancel := context.WithTimeout(ctx, donePause)
		more := f.store.Await(short, f.read)
		cancel()
		if more {
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b := &Batch{Store: f.storeID, After: f.after, Through: f.after}
		if err := f.erasuresDone(b); err != nil || b.Rows() > 0 {
			return b, err
		}
	}
}

// erasuresDone adds the erasures that are done. The log does not report this.
func (f *filler) erasuresDone(b *Batch) (err error) {
	if time.Since(f.looked) < donePause {
		return nil
	}
	f.looked = time.Now()
	b.Erasures, err = f.done()
	return err
}

// erasuresAsked adds the erasures that were requested for the customers in a
// batch.
func (f *filler) erasuresAsked(m *making) error {
	for project := range m.erased {
		all, err := f.store.Erasures(project)
		if err != nil {
			return err
		}
		for _, e := range all {
			if at, ok := m.customers[e.Customer]; ok && m.Customers[at].Erased {
				m.Erasures = append(m.Erasures, f.view.erasure(project, &e))
			}
		}
	}
	slices.SortFunc(m.Erasures, func(a, b Erasure) int { return cmp.Compare(a.ID, b.ID) })
	m.Erasures = slices.CompactFunc(m.Erasures, func(a, b Erasure) bool { return a.ID == b.ID })
	return nil
}

// gather waits until a time, or until enough changes have arrived to fill the
// batch. So it reads the log in large pieces, which costs least, and looks up a
// customer that changes often only once.
func (f *filler) gather(ctx context.Context, due time.Time, wanted int) error {
	poll := min(max(f.every/20, time.Millisecond), mostPoll)
	for !f.more && f.store.Synced()-f.read < uint64(wanted) {
		left := time.Until(due)
		if left <= 0 {
			break
		}
		if err := sleep.For(ctx, min(left, poll)); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// making is a batch that is being made.
type making struct {
	*Batch
	from      uint64                    // the changes up to this number are in earlier batches
	customers map[trackway.Customer]int // indexes of Customers
	rewritten []rewritten               // their events are to be passed again

	holders map[trackway.Customer]*Customer // of events, keyed by the customer for whom they were recorded
	erased  map[uint32]bool                 // projects with an erased customer
}

type rewritten struct {
	project  uint32
	customer trackway.Customer
}

func (f *filler) begin() *making {
	return &making{
		Batch: &Batch{Store: f.storeID, After: f.after, Through: f.read}, from: f.read, customers: make(map[trackway.Customer]int),
		holders: make(map[trackway.Customer]*Customer), erased: make(map[uint32]bool),
	}
}

// take adds the changes up to a number to a batch. It reports whether the batch
// is full. Further changes remain for the next batch.
func (f *filler) take(m *making, through uint64) (full bool, err error) {
	for some, err := range f.store.Changes(f.read, min(through, m.from+mostPassed)) {
		if err != nil {
			return false, err
		}
		if full, err := f.takeSome(m, some); full || err != nil {
			return full, err
		}
	}
	f.read = max(f.read, min(through, m.from+mostPassed))
	m.Through = f.read
	return f.read < through, nil
}

func (f *filler) takeSome(m *making, some []change.Change) (full bool, err error) {
	var s query.Snapshot // newer than all of some
	defer func() {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	snapshot := func() query.Snapshot {
		if s == nil {
			s = f.store.Snapshot()
		}
		return s
	}
	for i := range some {
		c := &some[i]
		switch c.Kind {
		case change.Stored:
			full, err = f.event(m, snapshot, c.Event)
		case change.Changed, change.Rewritten, change.Erased:
			full, err = f.customer(m, snapshot, c)
		case change.Lost:
			f.lost(c.Number, c.Err)
		case change.Expired: // expired events stay in destinations
		}
		if full || err != nil {
			return full, err
		}
		f.read, m.Through = c.Number, c.Number
	}
	return m.Rows() >= f.rows || m.Bytes >= f.bytes, nil
}

// event adds an event.
func (f *filler) event(m *making, snapshot func() query.Snapshot, e *trackway.Event) (full bool, err error) {
	row, ok := f.view.Event(e)
	if !ok {
		return false, nil
	}
	size := len(row.Properties)
	if f.joins {
		more, err := f.join(m, snapshot(), e, &row)
		if err != nil {
			return false, err
		}
		size += more
	}
	return !f.add(m, size, func() { m.Events = append(m.Events, row) }), nil
}

// add adds a row. It reports false if the batch has no room for it.
func (f *filler) add(m *making, size int, do func()) bool {
	size += rowBytes
	if n := m.Rows(); n >= f.rows || n > 0 && m.Bytes+size > f.bytes {
		return false
	}
	do()
	m.Bytes += size
	return true
}

// customer adds a customer in its present state. If the customer's record is
// damaged, it leaves the customer out, so that the others still arrive. But if
// an erasure of that customer must reach the destination, it returns an error.
func (f *filler) customer(m *making, snapshot func() query.Snapshot, c *change.Change) (full bool, err error) {
	if !f.view.Has(c.Project) {
		return false, nil
	}
	row, _, err := f.view.Customer(snapshot(), c)
	size := sizeOf(&row)
	switch {
	case err == nil:
	case !f.store.Unreadable(err):
		return false, err
	case c.Kind != change.Changed:
		return false, f.damaged(c.Number, c.Customer, err)
	default:
		f.lost(c.Number, err)
		return false, nil
	}
	at, again := m.customers[c.Customer]
	if again { // it has changed since it was looked up
		m.Bytes += size - sizeOf(&m.Customers[at])
		m.Customers[at] = row
	} else if !f.add(m, size, func() {
		m.customers[c.Customer] = len(m.Customers)
		m.Customers = append(m.Customers, row)
	}) {
		return true, nil
	}
	if row.Erased {
		m.erased[c.Project] = true
	}
	if r := (rewritten{c.Project, c.Customer}); c.Kind != change.Changed && (!again || !slices.Contains(m.rewritten, r)) {
		m.rewritten = append(m.rewritten, r)
	}
	return false, nil
}

// damaged returns the error for an erasure that cannot be carried out in the
// destination, because nobody knows what to replace there. An operator has to
// act.
func (f *filler) damaged(number uint64, c trackway.Customer, err error) error {
	return &FinalError{Err: fmt.Errorf(
		"change %d is an erasure of customer %d, whose remaining data cannot be read, so the destination may still have the erased data: %w. "+
			"The store is damaged: see docs/damage.md. If you have removed that data by hand, continue with: trackway destinations rewind %s --to %d", number, c, err, f.called, number)}
}

// join looks up the customer who has an event. It returns how much that adds to
// the size of the batch.
func (f *filler) join(m *making, s query.Snapshot, e *trackway.Event, row *Event) (size int, err error) {
	if row.Holder = m.holders[e.Customer]; row.Holder != nil {
		return 0, nil
	}
	now, err := s.Survivor(e.Project, e.Customer)
	found := Customer{Customer: e.Customer, Project: row.Project, Properties: empty}
	if err == nil {
		found, _, err = f.view.Customer(s, &change.Change{Kind: change.Changed, Project: e.Project, Customer: now})
	}
	if err != nil {
		if !f.store.Unreadable(err) {
			return 0, err
		}
		f.lost(e.Seq, err)
	}
	row.Holder, m.holders[e.Customer] = &found, &found
	return sizeOf(&found), nil
}

func sizeOf(c *Customer) (size int) {
	for _, id := range c.IDs {
		size += len(id.Name) + len(id.Value) + rowBytes
	}
	return size + len(c.Properties)
}

// complete finishes a batch. It returns once everything that the batch shows is
// on the disk. This is necessary because a customer is looked up in its present
// state, which a power cut could still undo.
func (f *filler) complete(ctx context.Context, m *making) error {
	for _, r := range m.rewritten {
		if err := f.rewrite(ctx, m, r); err != nil {
			return err
		}
	}
	if m.Bytes > f.bytes {
		if err := f.passPiece(m); err != nil {
			return err
		}
	}
	if err := errors.Join(f.erasuresDone(m.Batch), f.erasuresAsked(m)); err != nil {
		return err
	}
	slices.SortFunc(m.Customers, func(a, b Customer) int { return cmp.Compare(a.Changed, b.Changed) })
	m.sortRewritten()
	if len(m.Customers)+len(m.Rewritten)+len(m.holders) == 0 {
		return nil
	}
	return f.store.Sync()
}

// sortRewritten sorts the rewritten events. If two customers became one, both
// may have passed the same event; the last one is the newest.
func (m *making) sortRewritten() {
	slices.SortStableFunc(m.Rewritten, bySeq)
	kept := m.Rewritten[:0]
	for i := range m.Rewritten {
		if i+1 == len(m.Rewritten) || m.Rewritten[i+1].Seq != m.Rewritten[i].Seq {
			kept = append(kept, m.Rewritten[i])
		}
	}
	m.Rewritten = kept
}

func bySeq(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) }

// rewrite passes the events of a customer again, as an erasure has left them.
// If there are many, they form batches of their own before the batch with the
// customer's change. A crash in between repeats them.
func (f *filler) rewrite(ctx context.Context, m *making, r rewritten) error {
	for place, end := (query.Place{}), false; !end; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if m.Bytes >= f.bytes || len(m.Rewritten) >= f.rows || sizeOfEvents(m.Rewritten) >= pieceBytes {
			if err := f.passPiece(m); err != nil {
				return err
			}
		}
		var err error
		if end, err = f.rewriteSome(m, r, &place); err != nil {
			if f.store.Unreadable(err) {
				err = f.damaged(m.Customers[m.customers[r.customer]].Changed, r.customer, err)
			}
			return err
		}
	}
	return nil
}

func sizeOfEvents(events []Event) (size int) {
	for i := range events {
		size += len(events[i].Properties) + rowBytes
	}
	return size
}

// passPiece passes the rewritten events of a batch as a separate batch.
func (f *filler) passPiece(m *making) error {
	m.sortRewritten()
	piece := &Batch{Store: m.Store, After: m.After, Through: m.After, Rewritten: m.Rewritten, Bytes: sizeOfEvents(m.Rewritten)}
	if piece.Rows() == 0 {
		return nil
	}
	m.Bytes -= piece.Bytes
	m.Rewritten = nil
	if err := f.store.Sync(); err != nil {
		return err
	}
	return f.out(piece)
}

// rewriteSome reads events after a place, as many as a piece may have. It
// reports whether that was the last piece. It holds no snapshot between pieces,
// because a piece may wait for days while a destination is down.
func (f *filler) rewriteSome(m *making, r rewritten, place *query.Place) (end bool, err error) {
	s := f.store.Snapshot()
	defer func() { err = errors.Join(err, s.Close()) }()
	now, err := s.Survivor(r.project, r.customer)
	if err != nil {
		return false, err
	}
	end = true
	size := 0
	var failed error // of a look-up meanwhile
	err = s.Timeline(r.project, now, query.TimelineRange{After: *place}, func(e *trackway.Event, at query.Place) bool {
		*place = at
		row, ok := f.view.Event(e)
		switch {
		case !ok || e.Seq <= f.first || e.Seq > f.read: // later ones are read later, as they are then
		case e.Seq > m.After:
			if i, ok := slices.BinarySearchFunc(m.Events, row, bySeq); ok {
				row = own(row)
				row.Holder = m.Events[i].Holder
				m.Bytes += len(row.Properties) - len(m.Events[i].Properties)
				m.Events[i] = row
			}
		default:
			row = own(row)
			if f.joins {
				more, err := f.join(m, s, e, &row)
				if err != nil {
					failed = err
					return false
				}
				size += more
			}
			m.Rewritten = append(m.Rewritten, row)
			m.Bytes += len(row.Properties) + rowBytes
			size += len(row.Properties) + rowBytes
		}
		end = size < pieceBytes && len(m.Rewritten) < f.rows
		return end
	})
	return end, errors.Join(err, failed)
}
