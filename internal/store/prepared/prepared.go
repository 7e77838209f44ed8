// Package prepared makes what can be made of commands before they are applied,
// in the goroutine of each request and so in parallel: what is stored of events.
package prepared

import (
	"sync"
	"sync/atomic"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/entry"
	"trackway/internal/store/timeline"
)

// Request is an entry for one request, and the memory of what is made of its
// commands.
type Request struct {
	Entry entry.Commands // of one request

	contents []entry.Content
	bytes    []byte // that contents are parts of
}

var requests = sync.Pool{New: func() any { return &Request{Entry: entry.Commands{Requests: make([]entry.Request, 1)}} }}

// Get returns a request that nobody uses. Give it back by [Request.Put].
func Get() *Request {
	r, _ := requests.Get().(*Request)
	return r
}

// Put gives the request back, with all that was made in it.
func (r *Request) Put() {
	r.Entry.Requests[0] = entry.Request{}
	requests.Put(r)
}

// What is made of a request is a second copy of its properties, until it is
// applied. Small requests get one while there is memory for it; a machine makes
// it itself of others.
const (
	most    = 128 << 10 // bytes of one request
	mostAll = 16 << 20  // bytes of all requests together
)

// Room bounds the memory of all requests together.
type Room struct{ taken atomic.Int64 }

// Contents makes what is stored of commands, nil if it does not. The contents
// are the request's. Give back by [Room.Free] what was taken.
func (room *Room) Contents(r *Request, cmds []trackway.Command) (contents []entry.Content, taken int64) {
	size := 0
	for i := range cmds {
		size += cmds[i].Bytes
	}
	if size > most {
		return nil, 0
	}
	if taken = int64(size); room.taken.Add(taken) > mostAll {
		return nil, taken
	}
	r.contents, r.bytes = r.contents[:0], r.bytes[:0]
	for i := range cmds {
		var one entry.Content
		if cmds[i].Kind == trackway.AddEvent {
			r.bytes, one = Append(r.bytes, &cmds[i])
		}
		r.contents = append(r.contents, one)
	}
	return r.contents, taken
}

// Free gives back what [Room.Contents] took.
func (room *Room) Free(taken int64) { room.taken.Add(-taken) }

// Append appends an event's properties in canonical form, and returns what is
// stored of the event, which is a part of what was appended.
func Append(b []byte, c *trackway.Command) ([]byte, entry.Content) {
	start := len(b)
	b = canonjson.AppendObject(b, c.Properties)
	one := entry.Content{Properties: b[start:len(b):len(b)]}
	if c.TimeGiven {
		one.Hash = timeline.ContentHash(c.Type, one.Properties)
	}
	return b, one
}
