package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/counts"
	"trackway/internal/store/format"
	"trackway/internal/store/prepared"
	"trackway/internal/store/reading"
)

// command carries out one command. content is what was prepared of it, nil if
// nothing was. A command that identity refuses stages nothing; one that is
// refused for too many properties has set the others.
func (t *tx) command(c *trackway.Command, content *entry.Content) (trackway.Result, error) {
	t.m.cache.MakeRoom()
	if customer := t.known(c); customer != 0 {
		return t.addEvent(customer, c, content)
	}
	h, refused, err := t.resolve(c)
	if err != nil || refused != nil {
		return trackway.Result{Err: refused}, err
	}
	if c.Kind == trackway.UpdateCustomer {
		refused, err := t.update(h, c)
		return trackway.Result{Customer: h.Customer, Err: refused}, err
	}
	return t.addEvent(h.Customer, c, content)
}

// fewIDs is how many identifiers a command names at most for which the cache is
// asked first, and told what came of them. The usual command names one or two.
const fewIDs = 4

// known returns whom an event is about, if the cache alone can tell: all of its
// identifiers lead to one customer, and using them changes nothing of it. That
// is what resolve would find by the customer's record. 0: resolve has to look.
func (t *tx) known(c *trackway.Command) (customer trackway.Customer) {
	if c.Kind != trackway.AddEvent || len(c.IDs) > fewIDs {
		return 0
	}
	for i, id := range c.IDs {
		of, plain, known := t.m.cache.Customer(t.idKey(c.Project, id))
		if !known || !plain || i > 0 && of != customer {
			return 0
		}
		customer = of
	}
	return customer
}

// resolve finds whom the command is about, creating and merging customers as identity decides.
func (t *tx) resolve(c *trackway.Command) (*identity.Holder, *trackway.Error, error) {
	t.moved += max(0, len(c.IDs)-trackway.MaxSoftIDs) // each is looked up
	t.found = t.found[:0]
	for _, id := range c.IDs {
		h, err := t.holderOf(c.Project, id)
		if err != nil {
			return nil, nil, err
		}
		t.found = append(t.found, h)
	}
	if crowded := t.crowded(c.Project); crowded != nil {
		return nil, nil, crowded
	}
	d, refused := identity.Resolve(c.IDs, t.found, c.Received)
	if refused != nil {
		return nil, refused, nil
	}
	if d.Holder.Customer != 0 && !d.Changed {
		if len(c.IDs) <= fewIDs && d.Holder.Absorbed == 0 {
			t.noteIDs(c.Project, d.Holder)
		}
		return d.Holder, nil, nil
	}
	return d.Holder, nil, t.carryOut(c, &d)
}

// holderOf returns the holder of an identifier, nil if there is none. The same
// customer is the same pointer, for the cache keeps all of a command's.
func (t *tx) holderOf(project uint32, id trackway.Identifier) (*identity.Holder, error) {
	key := t.idKey(project, id)
	customer, _, known := t.m.cache.Customer(key)
	if !known {
		value, release, err := t.get(key)
		if err != nil || value == nil {
			return nil, err
		}
		customer = trackway.Customer(binary.BigEndian.Uint64(value))
		if err := release(); err != nil {
			return nil, err
		}
		t.m.cache.PutID(key, customer)
	}
	return t.holder(project, customer)
}

func (t *tx) holder(project uint32, customer trackway.Customer) (*identity.Holder, error) {
	if h := t.m.cache.Holder(customer); h != nil {
		return h, nil
	}
	h := t.changed.Of(customer)
	if h == nil {
		var err error
		if h, err = reading.Holder(t.from, project, customer); err != nil {
			return nil, err
		}
	}
	t.m.cache.PutHolder(h)
	return h, nil
}

// carryOut stages what identity decided. REQUIRES: the holder is new or has
// changed.
func (t *tx) carryOut(c *trackway.Command, d *identity.Decision) error {
	h := d.Holder
	if h.Customer == 0 {
		h.Customer = t.nextCustomer
		t.nextCustomer++
		t.m.cache.PutHolder(h)
		t.m.cache.PutLast(h.Customer, -1) // it has no events
		t.addUsage(c.Project, c.Received, query.Usage{Created: 1})
	}
	own(h, c)
	if len(d.Absorbed) > 0 {
		t.moved += len(d.Assign) + len(d.Release)
	}
	for _, id := range d.Release {
		key := t.idKey(c.Project, id)
		t.m.cache.ForgetID(key)
		if err := t.b.Delete(key, nil); err != nil {
			return err
		}
	}
	for _, id := range d.Assign {
		key := t.idKey(c.Project, id)
		t.m.cache.PutID(key, h.Customer)
		t.value = binary.BigEndian.AppendUint64(t.value[:0], uint64(h.Customer))
		if err := t.b.Set(key, t.value, nil); err != nil {
			return err
		}
	}
	if err := t.noteFormer(c, d); err != nil {
		return err
	}
	t.moved += recordMoves * len(d.Robbed)
	for _, robbed := range d.Robbed {
		t.putHolder(c.Project, robbed)
	}
	for room, i := t.m.mostMoved, 0; i < len(d.Absorbed); i++ {
		moved, err := t.absorb(c, h, d.Before, d.Absorbed[i], room)
		if err != nil {
			return err
		}
		room -= moved
	}
	t.noteIDs(c.Project, h)
	t.putHolder(c.Project, h)
	return nil
}

// own copies those identifiers of h that a command has put there: they are parts of its request's body, and the cache would
// keep the whole of that in memory. They are the first of their name; those of earlier commands of the batch, which were
// received at the same time, have been copied.
func own(h *identity.Holder, c *trackway.Command) {
	rank := 0
	for i := range h.IDs {
		id := &h.IDs[i]
		if rank++; i == 0 || id.Name != h.IDs[i-1].Name {
			rank = 0
		}
		if id.Used == c.Received && rank < len(c.IDs) {
			text := id.Name + id.Value
			id.Name, id.Value = text[:len(id.Name)], text[len(id.Name):]
		}
	}
}

// noteIDs tells the cache which of a customer's identifiers are plain.
func (t *tx) noteIDs(project uint32, h *identity.Holder) {
	t.m.cache.NoteIDs(h, func(id trackway.Identifier) []byte { return t.idKey(project, id) })
}

func (t *tx) idKey(project uint32, id trackway.Identifier) []byte {
	t.key = format.AppendIDKey(t.key[:0], project, id)
	return t.key
}

// putHolder notes that a customer's record has to be written.
func (t *tx) putHolder(project uint32, h *identity.Holder) {
	t.changed.Add(project, h, change.Changed, true)
}

// stageHolders stages the records that have changed.
func (t *tx) stageHolders() error {
	for _, c := range t.changed.All() {
		if !c.Record {
			continue
		}
		t.key = format.AppendCustomerKey(t.key[:0], c.Project, c.Customer)
		t.value = format.AppendHolder(t.value[:0], c.Holder)
		if err := t.b.Set(t.key, t.value, nil); err != nil {
			return err
		}
	}
	return nil
}

// update sets the properties of a command that are not older than what is known. New ones beyond the customer's share are
// refused, and named; the others are set all the same.
func (t *tx) update(h *identity.Holder, c *trackway.Command) (*trackway.Error, error) {
	const maxNamed = 3 // in an error
	var over []string
	var refused int
	before, staged := h.Properties, t.b.Count()
	t.moved += max(0, len(c.Properties)-trackway.MaxProperties) // each is looked up, also where it is refused
	for _, p := range c.Properties {
		known, err := t.setProperty(h, p, c, h.Properties < trackway.MaxProperties)
		if err != nil {
			return nil, err
		}
		if !known {
			if len(over) < maxNamed {
				over = append(over, p.Name)
			}
			refused++
		}
	}
	if t.b.Count() != staged {
		t.changed.Add(c.Project, h, change.Changed, h.Properties != before)
	}
	if over == nil {
		return nil, nil //nolint:nilnil // neither refused nor failed
	}
	return &trackway.Error{
		Code: trackway.Invalid, Field: "properties." + over[0], Reason: trackway.Full,
		Limit: h.Properties, Got: refused, What: strings.Join(over, ", "),
	}, nil
}

// setProperty sets one property of a command unless a newer value is known. It returns false where the property would be a new
// one and mayAdd is false.
//
// A value whose time is after the command's receipt is as old as that receipt:
// no update is from the future, so the clock was ahead when it was written and
// was set back since. Otherwise it would stay until the clock has caught up.
func (t *tx) setProperty(h *identity.Holder, p trackway.Property, c *trackway.Command, mayAdd bool) (bool, error) {
	t.key = format.AppendPropKey(t.key[:0], h.Customer, p.Name)
	stored, release, err := t.get(t.key)
	if err != nil {
		return false, err
	}
	if stored == nil {
		if !mayAdd {
			return false, nil
		}
		h.Properties++
	} else {
		since, _, err := format.SplitDated(stored)
		if err := errors.Join(err, release()); err != nil {
			return false, err
		}
		if min(since, c.Received) > c.Time {
			return true, nil
		}
	}
	t.value = format.AppendDated(t.value[:0], c.Time, p.Value)
	return true, t.b.Set(t.key, t.value, nil)
}

// addEvent appends an event to the log and to its customer's timeline, unless
// it is a duplicate.
func (t *tx) addEvent(customer trackway.Customer, c *trackway.Command, content *entry.Content) (trackway.Result, error) {
	var one entry.Content
	if content == nil { // it came in an entry, or is too large to be prepared
		t.object, one = prepared.Append(t.object[:0], c)
		content = &one
	}
	e := trackway.Event{
		Seq: t.nextSeq, Project: c.Project, Customer: customer,
		Type: c.Type, Time: c.Time, Received: c.Received, Properties: content.Properties,
	}
	tail := e.Seq
	if c.TimeGiven {
		var duplicate bool
		var err error
		if tail, duplicate, err = t.freeTail(&e, content.Hash); err != nil || duplicate {
			return trackway.Result{Customer: customer, Duplicate: duplicate}, err
		}
		t.m.cache.SawEntry(customer, e.Time, tail)
	}
	if c.Type == trackway.MergeType {
		if err := t.noteNamed(&e); err != nil {
			return trackway.Result{}, err
		}
	}
	return trackway.Result{Customer: customer, Seq: e.Seq}, t.append(&e, tail)
}

// append stages an event: its record in the log, its entry in the timeline, which may end in a mark.
func (t *tx) append(e *trackway.Event, tail uint64, mark ...byte) error {
	t.key = format.AppendLogKey(t.key[:0], e.Seq)
	t.value = format.AppendEvent(t.value[:0], e)
	if err := t.b.Set(t.key, t.value, nil); err != nil {
		return err
	}
	t.key = format.AppendTimelineKey(t.key[:0], e.Customer, e.Time, tail)
	t.value = append(binary.AppendUvarint(t.value[:0], e.Seq), mark...)
	t.nextSeq++
	t.counted = append(t.counted, counts.Of(e))
	return t.b.Set(t.key, t.value, nil)
}

// freeTail returns the end of the timeline key for an event whose time its
// sender chose, or tells that the event is stored. The hash is its content's.
func (t *tx) freeTail(e *trackway.Event, hash uint64) (tail uint64, duplicate bool, err error) {
	isNew, known, met := t.m.cache.Recent(e.Customer, e.Time, hash)
	if !isNew && !known && met {
		if isNew, err = t.afterLast(e); err != nil {
			return 0, false, err
		}
	}
	if isNew {
		return hash, false, nil
	}
	if tail, duplicate, err = t.probe(e.Customer, e, hash); err != nil || duplicate {
		return tail, duplicate, err
	}
	h, err := t.holder(e.Project, e.Customer)
	if err != nil || h.Absorbed == 0 {
		return tail, false, err
	}
	timelines, err := reading.Timelines(t.from, h)
	if err != nil {
		return 0, false, err
	}
	for _, c := range timelines[1:] {
		if _, duplicate, err := t.probe(c, e, hash); err != nil || duplicate {
			return 0, duplicate, err
		}
	}
	return tail, false, nil
}

// afterLast reports whether an event is later than all of its customer's, and
// notes which is the last of these.
func (t *tx) afterLast(e *trackway.Event) (bool, error) {
	h, err := t.holder(e.Project, e.Customer)
	if err != nil {
		return false, err
	}
	last, err := reading.LastEvent(t.from, h)
	if err != nil {
		return false, err
	}
	t.m.cache.PutLast(e.Customer, last)
	return e.Time > last, nil
}

// probe looks for the event in one customer's timeline, from its hash on: if
// another event has taken that place, the next one is tried. So a collision of
// hashes costs a look-up, never an event.
func (t *tx) probe(c trackway.Customer, e *trackway.Event, hash uint64) (free uint64, duplicate bool, err error) {
	for tail := hash; ; tail = (tail + 1) | format.HashTail {
		t.key = format.AppendTimelineKey(t.key[:0], c, e.Time, tail)
		entry, release, err := t.get(t.key)
		if err != nil || entry == nil {
			return tail, false, err
		}
		seq, n := binary.Uvarint(entry)
		if err := release(); err != nil {
			return 0, false, err
		}
		if n <= 0 {
			return 0, false, fmt.Errorf("timeline of customer %d: %w", c, format.ErrCorrupt)
		}
		if same, err := t.sameContent(seq, e); err != nil || same {
			return 0, same, err
		}
	}
}

func (t *tx) sameContent(seq uint64, e *trackway.Event) (bool, error) {
	t.key = format.AppendLogKey(t.key[:0], seq)
	record, release, err := t.get(t.key)
	if err != nil {
		return false, err
	}
	stored, err := format.DecodeEvent(seq, record)
	if err != nil {
		return false, fmt.Errorf("event %d: %w", seq, errors.Join(err, release()))
	}
	return stored.Type == e.Type && bytes.Equal(stored.Properties, e.Properties), release()
}
