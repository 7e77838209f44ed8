// Package format defines how clients send commands and receive their results.
// Each format is a package below this one; a route names its format. A format
// knows bodies and answers. It knows neither HTTP nor the configuration, and
// decides nothing about commands.
package format

import (
	"sync"

	"trackway"
)

// Format describes the bodies and answers of a route. It is immutable and safe
// for concurrent use.
type Format struct {
	// Name describes the purpose of a call to people.
	Name string

	// Decode decodes a body for a project, received at the given time. The
	// batch consists of parts of the body. An error refuses the whole body.
	// Decode is nil if the route takes no commands.
	Decode func(p *trackway.Project, body []byte, received trackway.Micros) (*Batch, *trackway.Error)

	// Commands is the most commands that Decode returns. 0 stands for
	// [trackway.MaxCommands].
	Commands int

	// Takes returns a bound on the bytes that Decode allocates for a body. Nil
	// stands for that of package cost, for bodies in JSON.
	Takes func(body []byte) int

	// Results returns the status and the answer to a batch that was carried
	// out, now. The answer has no parts of the body. An error refuses the call,
	// in formats with one command per body.
	Results func(b *Batch, now trackway.Micros) (status int, answer []byte, refused *trackway.Error)

	// Refusal returns the answer to a refused call. status is the usual one for
	// the error's code.
	Refusal func(status int, err *trackway.Error) (int, []byte)

	// Text describes an error in a sentence, for people.
	Text func(err *trackway.Error) string

	// Media is the media type of the answers to commands, as the value of a
	// header field. Nil means JSON.
	Media []string

	// AnySite reports whether pages of any site may call the route (CORS).
	AnySite bool
}

// Batch holds the commands of one body. Its slices have equal lengths, and the
// result of a command has the command's index.
type Batch struct {
	Received trackway.Micros
	// A command of the kind Nothing asks for the time, or was refused. In that
	// case Results says why.
	Commands []trackway.Command
	Results  []trackway.Result
	Labels   []Label

	// Room is memory for the properties of all commands, for the decoder: see
	// [canonjson.Decoder.Reuse].
	Room []trackway.Property
}

// Label is the client's name for a command.
type Label struct {
	Name string // the command's name; empty if it was not understood
	ID   []byte // as it was sent; nil: absent
}

// batches holds released batches, whose memory others use.
var batches sync.Pool

// New returns an empty batch, perhaps with the memory of a released one.
func New(received trackway.Micros) *Batch {
	b, ok := batches.Get().(*Batch)
	if !ok {
		b = new(Batch)
	}
	b.Received = received
	return b
}

// mostReused is how many properties a batch may have had room for if its memory
// is to be used again: as many as a decoder makes room for in advance.
const mostReused = 1 << 10

// Release lets other batches use the memory of this one. Neither the batch nor
// the slices of its commands' properties may be used any more. It does nothing
// for a batch without [Batch.Room], or with a very large one.
func (b *Batch) Release() {
	if n := cap(b.Room); n == 0 || n > mostReused {
		return
	}
	// Nothing may keep a body in memory.
	clear(b.Commands[:cap(b.Commands)])
	clear(b.Results[:cap(b.Results)])
	clear(b.Labels[:cap(b.Labels)])
	clear(b.Room[:cap(b.Room)])
	b.Clear()
	batches.Put(b)
}

// Grow makes room for n commands in total.
func (b *Batch) Grow(n int) {
	b.Commands = append(make([]trackway.Command, 0, n), b.Commands...)
	b.Results = append(make([]trackway.Result, 0, n), b.Results...)
	b.Labels = append(make([]Label, 0, n), b.Labels...)
}

// Add adds a command, refused if err is not nil.
func (b *Batch) Add(c trackway.Command, err *trackway.Error, l Label) {
	b.Commands = append(b.Commands, c)
	b.Results = append(b.Results, trackway.Result{Err: err})
	b.Labels = append(b.Labels, l)
}

// Next adds an empty command with an empty label, and returns both for the
// decoder to fill in. They are valid until the next call.
func (b *Batch) Next() (*trackway.Command, *Label) {
	b.Add(trackway.Command{}, nil, Label{})
	last := len(b.Commands) - 1
	return &b.Commands[last], &b.Labels[last]
}

// Refuse refuses the command that was added last, unless err is nil.
func (b *Batch) Refuse(err *trackway.Error) { b.Results[len(b.Results)-1].Err = err }

// Clear removes all commands and keeps the memory.
func (b *Batch) Clear() {
	b.Commands, b.Results, b.Labels = b.Commands[:0], b.Results[:0], b.Labels[:0]
}

// One returns a batch of one command.
func One(c trackway.Command, err *trackway.Error, name string, received trackway.Micros) *Batch {
	b := new(struct { // one allocation
		Batch

		command [1]trackway.Command
		result  [1]trackway.Result
		label   [1]Label
	})
	b.command[0], b.result[0].Err, b.label[0].Name = c, err, name
	b.Batch = Batch{Received: received, Commands: b.command[:], Results: b.result[:], Labels: b.label[:]}
	return &b.Batch
}
