// Package format is how clients say what is to be done, and are told what
// became of it. Each format is a package below this one; a route names its
// format. A format knows bodies and answers: it knows neither HTTP nor the
// configuration, and decides nothing about commands.
package format

import "trackway"

// Format is how the callers of a route speak. Immutable, and safe for
// concurrent use.
type Format struct {
	// Name is what a call asks for, for people.
	Name string

	// Decode decodes a body that was received at a time. The batch is made of
	// parts of it. An error refuses the body as a whole. Nil: the route takes
	// no commands.
	Decode func(body []byte, received trackway.Micros) (*Batch, *trackway.Error)

	// Results returns the answer to a batch that was carried out, now. An error
	// refuses the call, as a format does that has one command in a body.
	Results func(b *Batch, now trackway.Micros) ([]byte, *trackway.Error)

	// Refusal returns the answer to a call that was refused. status is the
	// usual one for the error's code.
	Refusal func(status int, err *trackway.Error) (int, []byte)

	// Text says an error in a sentence, for people.
	Text func(err *trackway.Error) string

	// AnySite tells whether pages of any site may call (CORS).
	AnySite bool
}

// Batch is what one body asks for. Its slices are as long as each other, and
// what becomes of a command is put in its place.
type Batch struct {
	Received trackway.Micros
	Commands []trackway.Command // of the kind Nothing: the time is asked for, or Results says why it was refused
	Results  []trackway.Result
	Labels   []Label
}

// Label is what a client calls a command.
type Label struct {
	Name string // what is to be done; empty if that was not understood
	ID   []byte // as it was sent; nil: none
}

// Grow makes room for n commands in all.
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

// Clear forgets all commands, and keeps the memory.
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
