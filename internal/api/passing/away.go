package passing

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trackway"
	"trackway/internal/api/room"
	"trackway/internal/control/relay"
)

// Holders returns what carries calls to servers that hold the data of a
// project, the best first. If this server holds it, here is true.
type Holders func(project uint32) (to []http.RoundTripper, here bool)

// Away carries calls to servers that hold the data of a project, if this one
// does not. It is safe for concurrent use.
type Away struct {
	Holders Holders      // nil: this server holds everything
	Places  *room.Places // for calls under way, but streams
	Streams *room.Places // for those
}

// Call is a call to be carried out by another server.
type Call struct {
	W    http.ResponseWriter
	R    *http.Request
	Body []byte // whole
	Safe bool   // it changes nothing, so it may be tried again

	Stream bool // the answer goes on for as long as the caller stays
	By     *Caller
	Free   func() // called before an answer that costs nothing
}

// enterTime limits how long a call waits until it is passed on.
const enterTime = 5 * time.Second

// ErrNotCarriedOut says that a server has surely not carried a call out.
var ErrNotCarriedOut = errors.New("the call was not carried out")

// The answers if no server has carried the call out, and if that is not known.
var (
	errNoHolder = &trackway.Error{Code: trackway.Overloaded, Msg: "This server does not hold the data of this project, and none that does has answered. Try again."}
	errNew      = &trackway.Error{Code: trackway.Overloaded, Msg: "This project is new on this server, which waits for the cluster to say where its data is. Try again."}
	errNoPlace  = &trackway.Error{Code: trackway.Overloaded, Msg: "Too many calls are passed on to other servers at the moment: try again."}
	errNoStream = &trackway.Error{Code: trackway.Overloaded, Msg: "Too many live pages of projects on other servers are open: close some, or open this one at another server."}
	errLost     = &trackway.Error{
		Code: trackway.Overloaded,
		Msg:  "The server that holds the data of this project has not answered, so it is not known whether this call was carried out. Try again.",
	}
)

// Holds reports whether this server holds the data of a project. A project
// without a number is new, and nobody here knows yet where it will be.
func (a *Away) Holds(project uint32) bool {
	if a.Holders == nil || project == 0 {
		return project != 0
	}
	_, here := a.Holders(project)
	return here
}

// Carry has another server carry a call out, if this one does not hold the data
// of the project. If done is false and there is no error, this server does.
// Another server is tried only if the one before has surely not carried the
// call out, or if the call is safe. A call that was passed on is never passed
// on again.
func (a *Away) Carry(ctx context.Context, project uint32, c *Call, by *Caller) (status int, done bool, err error) {
	switch {
	case c.By != nil && !a.Holds(project):
		return 0, false, NotHere(c.W)
	case project == 0:
		return 0, false, errNew
	}
	to, here := a.Holders(project)
	if here {
		return 0, false, nil
	}
	ctx, leave, err := a.enter(ctx, c, by)
	if err != nil {
		return 0, false, err
	}
	defer leave()
	by.Holder = true
	for _, holder := range to {
		status, done, err := Pass(ctx, holder, c.W, c.R, c.R.URL.RequestURI(), c.Body, by, c.Free)
		if done {
			return status, true, err
		}
		if !c.Safe && !errors.Is(err, ErrNotCarriedOut) {
			return 0, false, errLost
		}
	}
	return 0, false, errNoHolder
}

// enter waits for a place. Streams have places and connections of their own: a
// call should not have to wait until somebody closes a page.
func (a *Away) enter(ctx context.Context, c *Call, by *Caller) (of context.Context, leave func(), err error) {
	if c.Stream {
		if !a.Streams.TryEnter(by.Addr) {
			return nil, nil, errNoStream
		}
		return relay.Stream(ctx), func() { a.Streams.Leave(by.Addr) }, nil
	}
	waiting, cancel := context.WithTimeout(ctx, enterTime)
	defer cancel()
	if !a.Places.Enter(waiting, by.Addr) {
		return nil, nil, errNoPlace
	}
	return ctx, func() { a.Places.Leave(by.Addr) }, nil
}

// elsewhereField in an answer says that this server does not hold the data.
const elsewhereField = "Trackway-Elsewhere"

// NotHere makes an answer to another server say that this one does not hold the
// data, and returns the error to be answered with.
func NotHere(w http.ResponseWriter) error {
	w.Header().Set(elsewhereField, "1")
	return errNoHolder
}
