package segment

import (
	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
	"trackway/internal/iso8601"
)

// maxSkew is how far a client's clock may differ from the server's, in
// microseconds, before times are corrected. It includes the time that the
// message needs to arrive.
const maxSkew trackway.Micros = 5 * 60 * 1e6

// fresh is how far sentAt may be from now, in microseconds, if a client with a
// correct clock sends a message for the first time.
const fresh trackway.Micros = 60 * 1e6

// when is the time of a message, as far as it is known before the whole body is
// read.
type when struct {
	claimed  trackway.Micros // the timestamp
	given    bool            // there is one
	sentAt   trackway.Micros // by the client's clock
	sent     bool            // there is one
	named    bool            // the message has an id
	corrects bool            // sentAt may correct the timestamp
}

// when returns the times of a message. It is an error if the timestamp cannot
// be read.
func (m *message) when() (w when, err *trackway.Error) {
	w.named, w.corrects = m.hasID(), true
	w.sentAt, w.sent = moment(m.sentAt)
	field, v := "timestamp", m.timestamp
	if v.Absent() {
		field, v = "originalTimestamp", m.original
	}
	switch {
	case v.Absent():
		return w, nil
	case v.Kind != canonjson.String:
		return w, value.Unexpected(field, "a date and time such as 2018-08-05T12:20:25.5Z", v.Kind)
	}
	w.given = true
	w.claimed, err = value.Time(field, v)
	return w, err
}

// moment returns the time in a string, if it is one.
func moment(v canonjson.Value) (trackway.Micros, bool) {
	if v.Kind != canonjson.String {
		return 0, false
	}
	return iso8601.Parse(v.Text())
}

// set sets the time of a command. batchSentAt is when the whole batch was sent,
// for messages that do not say it.
//
// If the client may send an event again and it might then get another time, set
// says so, and how the store can recognize it.
func (w when) set(c *trackway.Command, received trackway.Micros, batchSentAt canonjson.Value) {
	if !w.given {
		c.Time, c.TimeVaries = received, w.named && c.Kind == trackway.AddEvent
		return
	}
	if !w.sent {
		w.sentAt, w.sent = moment(batchSentAt)
	}
	c.Time, c.TimeGiven = w.claimed, true
	event := c.Kind == trackway.AddEvent
	skew := received - w.sentAt
	if w.corrects && w.sent && isFar(skew) && (w.named || !event) {
		// A time in the future would say that sentAt is wrong, not the clock.
		if corrected := w.claimed + skew; corrected >= trackway.MinTime && corrected <= received+maxSkew {
			c.Time = corrected
		}
	}
	// An earlier try may have been corrected in two cases. Either it was sent
	// live, and this is an import. Or the clock is ahead, and the client
	// repeats the same bytes: the delay then makes up for the clock. Looking
	// for an earlier try costs as much as storing half an event, so this is not
	// done for a message that seems to have been sent just now.
	repeated := w.corrects && w.sent && (skew > fresh || skew < -fresh)
	if event && w.named && (repeated || isFar(received-w.claimed)) {
		c.TimeVaries, c.Claimed = true, w.claimed
	}
}

func isFar(d trackway.Micros) bool { return d > maxSkew || d < -maxSkew }
