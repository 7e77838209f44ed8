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

// fresh is how far sentAt may be from now, in microseconds, in a message that
// is sent for the first time by a clock that is right.
const fresh trackway.Micros = 60 * 1e6

// when is when a message happened, as far as it is known before the whole body
// is read.
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

// moment returns the time that a string says, if it does.
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
		if corrected := w.claimed + skew; corrected >= trackway.MinTime && corrected <= trackway.MaxTime {
			c.Time = corrected
		}
	}
	// An earlier try may have been corrected, if it came live and this is an
	// import, or if the clock is ahead: some clients repeat the same bytes, so
	// that the delay makes up for the clock. Looking for it costs as much as
	// storing half an event, so a message that seems to be sent just now does
	// not pay for that.
	repeated := w.corrects && w.sent && (skew > fresh || skew < -fresh)
	if event && w.named && (repeated || isFar(received-w.claimed)) {
		c.TimeVaries, c.Claimed = true, w.claimed
	}
}

func isFar(d trackway.Micros) bool { return d > maxSkew || d < -maxSkew }
