package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
)

// The types of messages.
const (
	eventStored     = "event.stored"
	eventRewritten  = "event.rewritten"
	customerChanged = "customer.changed"
	customerMerged  = "customer.merged"
	customerErased  = "customer.erased"
)

// message is one request that a batch requires. It points into the batch.
type message struct {
	number    uint64                // of the event or change
	event     *destination.Event    // or nil
	customer  *destination.Customer // or nil
	rewritten bool                  // the event replaces one that was sent before
	settled   bool                  // accepted or rejected
}

// groups returns the messages of a batch as one slice for each customer, in the
// order of numbers. An absorbed customer shares the survivor's slice. The
// slices are in the order of their first numbers.
func groups(b *destination.Batch) [][]message {
	all := make([]message, 0, b.Rows())
	for i := range b.Rewritten {
		all = append(all, message{number: b.Rewritten[i].Seq, event: &b.Rewritten[i], rewritten: true})
	}
	for i := range b.Events {
		all = append(all, message{number: b.Events[i].Seq, event: &b.Events[i]})
	}
	survivors := map[trackway.Customer]trackway.Customer{}
	for i := range b.Customers {
		c := &b.Customers[i]
		if c.Survivor != 0 {
			survivors[c.Customer] = c.Survivor
		}
		all = append(all, message{number: c.Changed, customer: c})
	}
	slices.SortStableFunc(all, func(a, b message) int { return cmp.Compare(a.number, b.number) })
	places := map[trackway.Customer]int{}
	var found [][]message
	for _, m := range all {
		who := m.who(survivors)
		i, ok := places[who]
		if !ok {
			i = len(found)
			places[who] = i
			found = append(found, nil)
		}
		found[i] = append(found[i], m)
	}
	return found
}

// who returns the customer whose messages must stay in order with this one.
func (m *message) who(survivors map[trackway.Customer]trackway.Customer) trackway.Customer {
	var c trackway.Customer
	switch {
	case m.customer != nil:
		c = m.customer.Customer
	case m.event.Holder != nil:
		c = m.event.Holder.Customer
	default:
		c = m.event.Customer
	}
	for survivors[c] != 0 {
		c = survivors[c]
	}
	return c
}

// id returns the message's id: the store's id and the number of the change. The
// message of a rewritten event differs from the message of the original event.
// So its id also has a hash of the content, which is the same in each attempt.
func (m *message) id(store string, body []byte) string {
	id := store + "-" + strconv.FormatUint(m.number, 10)
	if m.rewritten {
		sum := sha256.Sum256(body)
		id += "-" + hex.EncodeToString(sum[:8])
	}
	return id
}

// body returns the message's body: type, timestamp and data, as Standard
// Webhooks recommends. A change of a customer has no timestamp, because the
// store does not keep one.
func (m *message) body() []byte {
	if m.event != nil {
		return m.eventBody()
	}
	return m.customerBody()
}

func (m *message) eventBody() []byte {
	e := m.event
	typ := eventStored
	if m.rewritten {
		typ = eventRewritten
	}
	b := make([]byte, 0, len(e.Properties)+512)
	b = append(append(append(b, `{"type":"`...), typ...), `","timestamp":`...)
	b = append(appendTime(b, e.At), `,"data":{`...)
	b = member(b, `"seq":`, e.Seq)
	b = canonjson.AppendString(append(b, `,"project":`...), e.Project)
	b = member(b, `,"customer":`, uint64(e.Customer))
	if h := e.Holder; h != nil {
		if h.Customer != e.Customer {
			b = member(b, `,"survivor":`, uint64(h.Customer))
		}
		b = canonjson.AppendIDs(append(b, `,"customer_ids":`...), h.IDs)
	}
	b = canonjson.AppendString(append(b, `,"type":`...), e.Type)
	b = appendTime(append(b, `,"at":`...), e.At)
	b = appendTime(append(b, `,"received_at":`...), e.Received)
	b = append(append(b, `,"properties":`...), e.Properties...)
	return append(b, "}}"...)
}

func (m *message) customerBody() []byte {
	c := m.customer
	b := make([]byte, 0, len(c.Properties)+512)
	typ := customerChanged
	switch {
	case c.Survivor != 0:
		typ = customerMerged
	case c.Erased:
		typ = customerErased
	}
	b = append(append(append(b, `{"type":"`...), typ...), `","data":{`...)
	b = member(b, `"changed":`, c.Changed)
	b = canonjson.AppendString(append(b, `,"project":`...), c.Project)
	b = member(b, `,"customer":`, uint64(c.Customer))
	if c.Survivor != 0 {
		b = member(b, `,"survivor":`, uint64(c.Survivor))
		return append(b, "}}"...)
	}
	b = canonjson.AppendIDs(append(b, `,"customer_ids":`...), c.IDs)
	b = appendTime(append(b, `,"created_at":`...), c.Created)
	b = append(append(b, `,"properties":`...), c.Properties...)
	return append(b, "}}"...)
}

func member(b []byte, name string, v uint64) []byte {
	return strconv.AppendUint(append(b, name...), v, 10)
}

// appendTime appends a time as a JSON string in ISO 8601, to the microsecond.
func appendTime(b []byte, at trackway.Micros) []byte {
	return append(at.Time().AppendFormat(append(b, '"'), "2006-01-02T15:04:05.000000Z"), '"')
}

// seconds formats a time for the header webhook-timestamp.
func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
