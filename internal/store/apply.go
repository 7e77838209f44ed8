package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/cache"
	"trackway/internal/store/counts"
	"trackway/internal/store/format"
	"trackway/internal/store/prepared"
	"trackway/internal/store/reading"
	"trackway/internal/store/repeats"
	"trackway/internal/store/timeline"
)

// command carries out one command. content is what was prepared of it, or nil.
// If identity refuses a command, nothing is staged. A command refused for too
// many properties has still set the others.
func (t *tx) command(c *trackway.Command, content *entry.Content) (trackway.Result, error) {
	t.m.cache.MakeRoom()
	if customer := t.known(c, content); customer != 0 {
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

// known returns the customer of an event if the cache alone can tell: all
// identifiers of the event lead to that customer, and using them changes
// nothing about it. resolve would find the same in the customer's record. If
// known returns 0, call resolve.
func (t *tx) known(c *trackway.Command, content *entry.Content) trackway.Customer {
	if c.Kind != trackway.AddEvent {
		return 0
	}
	if content != nil && content.IDs != nil {
		return t.m.cache.CustomerOf(content.IDs)
	}
	t.ids = prepared.AppendIDs(t.ids[:0], c, &t.m.cache)
	return t.m.cache.CustomerOf(t.ids)
}

// resolve finds the customer of a command. It creates and merges customers as
// identity decides.
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
	if c.Unheld != nil {
		if refused, err := t.isHeld(c.Project, *c.Unheld); refused != nil || err != nil {
			return nil, refused, err
		}
	}
	d, refused := identity.Resolve(c.IDs, t.found, c.Received)
	if refused != nil {
		return nil, refused, nil
	}
	if d.Holder.Customer != 0 && !d.Changed {
		if len(c.IDs) <= prepared.FewIDs && d.Holder.Absorbed == 0 {
			t.noteIDs(c.Project, d.Holder)
		}
		return d.Holder, nil, nil
	}
	return d.Holder, nil, t.carryOut(c, &d)
}

// isHeld refuses a command if an identifier belongs to a customer to which none
// of the command's own identifiers lead.
func (t *tx) isHeld(project uint32, id trackway.Identifier) (*trackway.Error, error) {
	h, err := t.holderOf(project, id)
	if err != nil || h == nil || slices.Contains(t.found, h) {
		return nil, err
	}
	return &trackway.Error{Code: trackway.Conflict, Field: "customer_ids", Reason: trackway.OtherCustomer, What: id.Name}, nil
}

// holderOf returns the holder of an identifier, or nil. Within a command it
// returns the same pointer for the same customer, since the cache keeps all of
// the command's holders.
func (t *tx) holderOf(project uint32, id trackway.Identifier) (*identity.Holder, error) {
	key := t.idKey(project, id)
	customer, _, known := t.m.cache.Customer(key)
	if !known {
		if t.m.used.Misses(key) {
			return nil, nil
		}
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
		t.m.usage.Add(c.Project, c.Received, query.Usage{Created: 1})
	}
	cache.Own(h, c)
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
		t.m.used.Add(key)
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

// noteIDs tells the cache which of a customer's identifiers are plain.
func (t *tx) noteIDs(project uint32, h *identity.Holder) {
	t.m.cache.NoteIDs(h, func(id trackway.Identifier) []byte { return t.idKey(project, id) })
}

func (t *tx) idKey(project uint32, id trackway.Identifier) []byte {
	t.key = format.AppendIDKey(t.key[:0], project, id)
	return t.key
}

// putHolder marks a customer's record as changed.
func (t *tx) putHolder(project uint32, h *identity.Holder) {
	t.changed.Add(project, h, change.Changed, true)
}

// stageHolders stages the changed records.
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

// update sets those properties of a command that are not older than the stored
// ones. It refuses new properties beyond the customer's limit, and names them.
// It sets the others all the same.
func (t *tx) update(h *identity.Holder, c *trackway.Command) (*trackway.Error, error) {
	const maxNamed = 3 // in an error
	var over []string
	var refused int
	before, staged := h.Properties, t.b.Count()
	// each is looked up, even if it is refused
	t.moved += max(0, len(c.Properties)-trackway.MaxProperties)
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
		return nil, nil // neither refused nor failed
	}
	return &trackway.Error{
		Code: trackway.Invalid, Field: "properties." + over[0], Reason: trackway.Full,
		Limit: h.Properties, Got: refused, What: strings.Join(over, ", "),
	}, nil
}

// setProperty sets one property of a command unless the store has a newer
// value. It returns false if the property would be new but mayAdd is false.
//
// If the stored time is after the command's receipt, the value counts as no
// newer than that receipt. No update comes from the future, so the clock must
// have been ahead at the time and was set back since. Otherwise the value would
// stay until the clock has caught up.
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
// the event is a duplicate.
func (t *tx) addEvent(customer trackway.Customer, c *trackway.Command, content *entry.Content) (trackway.Result, error) {
	var one entry.Content
	if content == nil { // it came in an entry, or is too large to be prepared
		t.object, one = prepared.Append(t.object[:0], c, t.m.key.Load())
		content = &one
	}
	e := trackway.Event{
		Seq: t.nextSeq, Project: c.Project, Customer: customer,
		Type: c.Type, Time: c.Time, Received: c.Received, Properties: content.Properties,
	}
	if c.TimeVaries {
		if before, err := t.cameBefore(&e, c, content.Hash); err != nil || before {
			return trackway.Result{Customer: customer, Duplicate: before}, err
		}
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
	if err := t.noteRepeat(&e, c); err != nil {
		return trackway.Result{}, err
	}
	if c.Type == trackway.MergeType {
		if err := t.noteNamed(&e); err != nil {
			return trackway.Result{}, err
		}
	}
	return trackway.Result{Customer: customer, Seq: e.Seq}, t.append(&e, content.Record, tail)
}

// cameBefore reports whether an event whose time varies is already stored,
// whatever its time. An earlier try may have had the time that the client
// claims; the customer's timeline then shows it. If it had another time, it was
// noted as a repeat. hash is that of the event's content, as for freeTail.
func (t *tx) cameBefore(e *trackway.Event, c *trackway.Command, hash uint64) (bool, error) {
	if c.TimeGiven && c.Claimed != c.Time {
		claimed := *e
		claimed.Time = c.Claimed
		if _, duplicate, err := t.freeTail(&claimed, hash); err != nil || duplicate {
			return duplicate, err
		}
	}
	return repeats.Noted(t.from, e)
}

// noteRepeat notes an event whose time varies. If the event has the time that
// the client claims, the timeline is enough, and nothing is noted.
func (t *tx) noteRepeat(e *trackway.Event, c *trackway.Command) error {
	if !c.TimeVaries || c.TimeGiven && c.Claimed == c.Time {
		return nil
	}
	return repeats.Note(t.b, e)
}

// append stages an event: its record in the log, which ends in the given bytes,
// and its timeline entry, which may end in a mark.
func (t *tx) append(e *trackway.Event, record []byte, tail uint64, mark ...byte) error {
	t.value = format.AppendEventHead(t.value[:0], e)
	if err := t.b.SetLog(e.Seq, t.value, record); err != nil {
		return err
	}
	t.key = format.AppendTimelineKey(t.key[:0], e.Customer, e.Time, tail)
	t.value = append(binary.AppendUvarint(t.value[:0], e.Seq), mark...)
	t.nextSeq++
	t.counted = append(t.counted, counts.Of(e))
	return t.b.SetEntry(t.key, t.value)
}

// freeTail returns the tail of the timeline key for an event with a time set by
// its sender, or reports that the event is already stored. hash is the hash of
// its content.
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

// afterLast reports whether an event is later than all other events of its
// customer. It stores the time of the last one in the cache.
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

// probe searches one customer's timeline for the event, starting at its hash.
// If another event has that place, probe tries the next one. So a collision of
// hashes costs a look-up, but never loses an event.
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
	return stored.Type == e.Type && timeline.SameContent(stored.Properties, e.Properties), release()
}
