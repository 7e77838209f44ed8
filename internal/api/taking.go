package api

import (
	"net/http"
	"time"

	"trackway"
	"trackway/internal/api/permit"
	"trackway/internal/auth"
	"trackway/internal/format"
	"trackway/internal/format/tracking"
)

// systemTime answers what time it is. Clients use it to check their
// credentials.
func (c *call) systemTime() error {
	return c.answer(http.StatusOK, tracking.AppendTime(nil, trackway.MicrosOf(c.received)))
}

// taking is a call that brings commands.
type taking struct {
	*call

	ingest Ingester
}

// take carries out the body's commands, and answers with what became of them.
func (c *taking) take() error {
	b, status, answer, err := track(c.ingest, c.format, &c.grant, trackway.MicrosOf(c.received), c.body, c.sent.Decoded)
	if b != nil {
		c.observer.took(c.call, b, err == nil)
	}
	if err != nil {
		return err
	}
	c.sayMedia()
	err = c.answer(status, answer)
	b.Release()
	c.body = nil // other bodies use its memory from now on
	c.sent.Forgotten()
	return err
}

// track carries out the commands of a body that arrived at a time with a key,
// and returns the status and the answer. An error concerns the whole call. b
// says what became of each command, or is nil if that is not known. track calls
// decoded once the body is decoded.
//
// All the work of a usual call is done here. Besides its arguments, it depends
// only on the clock, for a batch's end.
func track(
	in Ingester, f *format.Format, grant *auth.Grant, at trackway.Micros, body []byte, decoded func(),
) (b *format.Batch, status int, answer []byte, err error) {
	b, refused := f.Decode(grant.Project, body, at)
	decoded()
	if refused != nil {
		b = format.One(trackway.Command{}, refused, f.Name, at) // which is counted as one
	}
	for i := range b.Commands {
		if c := &b.Commands[i]; c.Kind != trackway.Nothing && b.Results[i].Err == nil {
			b.Results[i].Err = permit.Command(grant.Key, c)
		}
	}
	if err := accept(in, grant.Project, at, b); err != nil {
		return nil, 0, nil, err
	}
	if refused == nil {
		status, answer, refused = f.Results(b, trackway.MicrosOf(time.Now()))
	}
	if refused != nil {
		return b, 0, nil, refused
	}
	return b, status, answer, nil
}

// mostAtOnce is how many commands of a body the store carries out at once.
// Others wait meanwhile: 1000 commands take some 5 ms.
const mostAtOnce = 1000

// accept stores the commands of a body, in pieces if there are many. After an
// error, the first ones may be stored, and the client sends all of them again.
func accept(in Ingester, p *trackway.Project, at trackway.Micros, b *format.Batch) error {
	for first := 0; ; first += mostAtOnce {
		end := min(first+mostAtOnce, len(b.Commands))
		if err := in.Accept(p, at, b.Commands[first:end], b.Results[first:end]); err != nil || end == len(b.Commands) {
			return err
		}
	}
}
