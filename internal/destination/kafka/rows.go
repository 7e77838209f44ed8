package kafka

import (
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
)

// stamp is the form of a time in a value: UTC, with microseconds.
const stamp = "2006-01-02T15:04:05.000000Z"

// overhead is what a record that is alone in a batch takes in addition to its
// key, value and headers, rounded up.
const overhead = 512

// rows makes the records of one batch.
type rows struct {
	prefix  string
	topics  map[string]*topic
	store   []byte // value of the header
	rejects []destination.Reject
}

// records yields the records of b that the topics do not have yet, in the state
// st. It yields nil for a row that is too large.
func (r *rows) records(b *destination.Batch, st *state) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		going := true
		for i := 0; going && i < len(b.Events); i++ {
			if !st.has(b.Events[i].Seq) {
				going = yield(r.event(&b.Events[i]))
			}
		}
		for i := 0; going && i < len(b.Customers); i++ {
			if b.Customers[i].Changed > st.Number { // otherwise the topic has this state, or a newer one
				going = !slices.ContainsFunc(r.customer(&b.Customers[i]), func(record *kgo.Record) bool { return !yield(record) })
			}
		}
		for i := 0; going && i < len(b.Erasures); i++ {
			going = yield(r.erasure(&b.Erasures[i]))
		}
	}
}

// record returns the record of a row, or nil if the row is too large for the
// topic. A nil value makes a tombstone. number is the row's sequence number, or
// the number of the change.
func (r *rows) record(table string, key, number uint64, value []byte) *kgo.Record {
	record := &kgo.Record{
		Topic: r.prefix + table,
		Key:   strconv.AppendUint(nil, key, 10),
		Value: value,
		Headers: []kgo.RecordHeader{
			{Key: "store", Value: r.store},
			{Key: "seq", Value: strconv.AppendUint(nil, number, 10)},
		},
	}
	if size, most := len(value)+overhead, r.topics[table].maxBytes; size > most {
		reason := fmt.Sprintf("the record has %d bytes, and the topic takes %d (max.message.bytes)", size, most)
		if most == maxBuffered {
			reason = fmt.Sprintf("the record has %d bytes, and no more than %d can be sent", size, most)
		}
		r.rejects = append(r.rejects, destination.Reject{Number: number, Table: table, Reason: reason})
		return nil
	}
	return record
}

func (r *rows) event(e *destination.Event) *kgo.Record {
	b := make([]byte, 0, len(e.Properties)+len(e.Type)+len(e.Project)+192)
	b = appendNumber(b, `{"seq":`, e.Seq)
	b = appendText(b, `,"project":`, e.Project)
	b = appendNumber(b, `,"customer":`, uint64(e.Customer))
	b = appendText(b, `,"type":`, e.Type)
	b = appendTime(b, `,"at":`, e.At)
	b = appendTime(b, `,"received_at":`, e.Received)
	b = appendObject(b, e.Properties)
	return r.record(events, uint64(e.Customer), e.Seq, append(b, '}'))
}

// customer returns the records of a customer. A customer that was absorbed, or
// has no identifiers, leaves tombstones in the topics that no longer have a row
// for it.
func (r *rows) customer(c *destination.Customer) []*kgo.Record {
	key, absorbed := uint64(c.Customer), c.Survivor != 0
	var state, ids []byte
	if !absorbed {
		state = appendNumber(nil, `{"customer":`, key)
		state = appendText(state, `,"project":`, c.Project)
		state = appendObject(state, c.Properties)
		state = appendTime(state, `,"created_at":`, c.Created)
		state = appendNumber(state, `,"changed":`, c.Changed)
		state = append(strconv.AppendBool(append(state, `,"erased":`...), c.Erased), '}')
	}
	if !absorbed && len(c.IDs) > 0 {
		ids = appendNumber(nil, `{"customer":`, key)
		ids = appendText(ids, `,"project":`, c.Project)
		ids = append(ids, `,"ids":[`...)
		for i, id := range c.IDs {
			if i > 0 {
				ids = append(ids, ',')
			}
			ids = appendText(ids, `{"name":`, id.Name)
			ids = append(appendText(ids, `,"value":`, id.Value), '}')
		}
		ids = append(appendNumber(append(ids, ']'), `,"changed":`, c.Changed), '}')
	}
	records := []*kgo.Record{r.record(customers, key, c.Changed, state), r.record(customerIDs, key, c.Changed, ids)}
	if absorbed {
		b := appendNumber(nil, `{"customer":`, key)
		b = appendNumber(b, `,"survivor":`, uint64(c.Survivor))
		b = append(appendNumber(b, `,"changed":`, c.Changed), '}')
		records = append(records, r.record(customerMap, key, c.Changed, b))
	}
	return records
}

func (r *rows) erasure(e *destination.Erasure) *kgo.Record {
	b := appendNumber(nil, `{"erasure":`, e.ID)
	b = appendText(b, `,"project":`, e.Project)
	b = appendNumber(b, `,"customer":`, uint64(e.Customer))
	b = appendTime(b, `,"asked_at":`, e.Asked)
	if e.Done == 0 {
		b = append(b, `,"done_at":null`...)
	} else {
		b = appendTime(b, `,"done_at":`, e.Done)
	}
	return r.record(erasures, e.ID, e.ID, append(b, '}'))
}

func appendNumber(b []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(b, name...), n, 10)
}

func appendText(b []byte, name, text string) []byte {
	return canonjson.AppendString(append(b, name...), text)
}

func appendTime(b []byte, name string, at trackway.Micros) []byte {
	return append(at.Time().AppendFormat(append(append(b, name...), '"'), stamp), '"')
}

// appendObject appends properties, which already are canonical JSON.
func appendObject(b, properties []byte) []byte {
	b = append(b, `,"properties":`...)
	if len(properties) == 0 {
		return append(b, "{}"...)
	}
	return append(b, properties...)
}
