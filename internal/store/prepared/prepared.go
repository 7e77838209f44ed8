// Package prepared computes what the store will keep of events before their
// commands are applied. It does so in the goroutine of each request, and
// therefore in parallel.
package prepared

import (
	"slices"
	"sync"
	"sync/atomic"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/entry"
	"trackway/internal/store/cache"
	"trackway/internal/store/format"
	"trackway/internal/store/timeline"
)

// Request is an entry for one request, with the memory for what is prepared
// from its commands.
type Request struct {
	Entry entry.Commands // holds one request

	contents []entry.Content
	bytes    []byte // backing memory of contents
	ids      [][2]uint64
}

var requests = sync.Pool{New: func() any { return &Request{Entry: entry.Commands{Requests: make([]entry.Request, 1)}} }}

// Get returns an unused request. Return it with [Request.Put].
func Get() *Request {
	r, _ := requests.Get().(*Request)
	return r
}

// Put returns the request, with everything prepared in it.
func (r *Request) Put() {
	r.Entry.Requests[0] = entry.Request{}
	requests.Put(r)
}

// Preparing a request makes a second copy of its properties, which lasts until
// the request is applied. Small requests get a copy while memory allows it. For
// all others the machine makes the copy.
const (
	most    = 128 << 10 // bytes of one request
	mostAll = 16 << 20  // bytes of all requests together
)

// Room limits the memory of all requests together.
type Room struct{ taken atomic.Int64 }

// Contents prepares what the store keeps of commands. It returns nil if they
// are too large or memory is short. It hashes them under key. The request owns
// the contents. Return what was taken with [Room.Free].
func (room *Room) Contents(r *Request, cmds []trackway.Command, known *cache.Cache, key *timeline.Key) (contents []entry.Content, taken int64) {
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
	r.contents, r.bytes, r.ids = r.contents[:0], r.bytes[:0], r.ids[:0]
	for i := range cmds {
		var one entry.Content
		if cmds[i].Kind == trackway.AddEvent {
			r.bytes, one = Append(r.bytes, &cmds[i], key)
			from := len(r.ids)
			r.ids = AppendIDs(r.ids, &cmds[i], known)
			one.IDs = r.ids[from:len(r.ids):len(r.ids)]
		}
		r.contents = append(r.contents, one)
	}
	return r.contents, taken
}

// Free returns what [Room.Contents] took.
func (room *Room) Free(taken int64) { room.taken.Add(-taken) }

// Append appends an event's type, and its properties in canonical form. It
// returns what the store keeps of the event, which is a part of what it
// appended.
func Append(b []byte, c *trackway.Command, key *timeline.Key) ([]byte, entry.Content) {
	start := len(b)
	b = format.AppendString(b, c.Type)
	at := len(b)
	b = canonjson.AppendObject(b, c.Properties)
	one := entry.Content{Record: b[start:len(b):len(b)], Properties: b[at:len(b):len(b)]}
	if !c.TimeGiven {
		return b, one
	}
	if slices.ContainsFunc(c.Properties, isMark) {
		one.Hash = key.Hash(c.Type, one.Properties)
	} else {
		one.Hash = key.HashRecord(one.Record)
	}
	return b, one
}

// FewIDs is the most identifiers in a command for which the cache is tried
// first and updated afterwards. A command usually names one or two.
const FewIDs = 4

// AppendIDs appends the fingerprints of a command's identifiers, unless there
// are too many.
func AppendIDs(all [][2]uint64, cmd *trackway.Command, known *cache.Cache) [][2]uint64 {
	if len(cmd.IDs) > FewIDs {
		return all
	}
	var room [128]byte
	for _, id := range cmd.IDs {
		all = append(all, known.Fingerprint(format.AppendIDKey(room[:0], cmd.Project, id)))
	}
	return all
}

func isMark(p trackway.Property) bool { return p.Name == trackway.Quarantined }

// Next returns the content of the next command of a request, or nil, with the
// hash that a store with this key uses. The appender may have hashed it before
// the store got the key.
func Next(r *entry.Request, key *timeline.Key) *entry.Content {
	if r.Contents == nil {
		return nil
	}
	c, content := &r.Commands[r.Done], &r.Contents[r.Done]
	if r.Keyed == (key != nil) || c.Kind != trackway.AddEvent || !c.TimeGiven {
		return content
	}
	own := *content
	own.Hash = key.Hash(c.Type, content.Properties)
	return &own
}
