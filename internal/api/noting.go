package api

import (
	"errors"
	"strings"
	"time"

	"trackway"
	"trackway/internal/format/tracking"
	"trackway/internal/live"
	"trackway/internal/rates"
)

// countCommands counts commands by what became of them.
func (c *call) countCommands(accepted, refused int) {
	now := time.Now()
	c.Rates.Count(now, rates.Accepted, accepted)
	c.Rates.Count(now, rates.Refused, refused)
}

// noteRefused shows a refused command to those who watch. cmd is nil where it was not understood.
func (c *call) noteRefused(name string, cmd *trackway.Command, err *trackway.Error) {
	if !c.Live.Room(c.received) {
		return
	}
	r := c.rejection(name)
	r.Field, r.Reason = err.Field, tracking.Text(err)
	if cmd != nil {
		r.Type, r.IDs = cmd.Type, cmd.IDs
	}
	c.Live.Reject(&r)
}

// rejection returns what is told of a command of this call, whatever became of it.
func (c *call) rejection(name string) live.Rejection {
	return live.Rejection{
		Received: trackway.MicrosOf(c.received), Command: name, Address: c.ask.Addr,
		Project: c.access.Keys.ProjectNumber(c.r.PathValue("token")),
	}
}

// noteLeftOut shows to those who watch that a command came with identifiers that name nobody.
func (c *call) noteLeftOut(name, eventType string, what []trackway.Identifier) {
	if len(what) == 0 {
		return
	}
	r := c.rejection(name)
	r.Type = eventType
	c.Live.CountLeftOut(what, &r)
}

// noteCall shows a call that failed before its commands were looked at: by its
// key or by its body. A call that carries no commands (what time it is, the
// consent categories) is none, and neither is one for which the server had no
// room, since that refuses nothing: the client sends it again.
func (c *call) noteCall(err error) {
	known := (*trackway.Error)(nil)
	if !c.route.carriesCommands() || !errors.As(err, &known) || known.Code == trackway.Overloaded {
		return
	}
	c.noteRefused(strings.TrimPrefix(c.route.path, track), nil, known)
}

// carriesCommands reports whether the calls of a route bring commands.
func (rt *route) carriesCommands() bool {
	return rt.maxBody > 0 && strings.HasPrefix(rt.path, track)
}
