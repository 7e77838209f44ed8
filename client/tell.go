package client

import "context"

// maxTroubles is how many reports of trouble wait for a slow OnTrouble: what is left out, later ones repeat.
const maxTroubles = 16

// maxUntold bounds the rejections that wait for a slow OnReject, in bytes of commands and reasons: some ten thousand as they
// usually are. One may be larger alone.
const maxUntold = 4 << 20

// tellLocked calls a function of the user's: one at a time, in order, on a
// goroutine that is there as long as there is something to tell. So the user may
// take their time, and call the client.
func (c *Client) tellLocked(call func(context.Context)) {
	c.calls = append(c.calls, call)
	if !c.telling {
		c.telling = true
		go c.tell()
	}
}

func (c *Client) tell() {
	for call := c.nextCall(); call != nil; call = c.nextCall() {
		c.call(call)
	}
}

func (c *Client) nextCall() func(context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == 0 {
		c.calls, c.telling = nil, false
		return nil
	}
	call := c.calls[0]
	c.calls[0] = nil
	c.calls = c.calls[1:]
	return call
}

// tellRejectionLocked has OnReject called, and counts the call once it has returned. It leaves out what there is no room for.
func (c *Client) tellRejectionLocked(r Rejection) {
	size := len(r.Command) + len(r.Reason)
	switch {
	case c.o.OnReject == nil:
		c.told++
		return
	case c.untold > 0 && c.untold+size > maxUntold:
		c.told++
		c.stats.Untold++
		return
	}
	c.untold += size
	c.tellLocked(func(ctx context.Context) {
		c.o.OnReject(ctx, r)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told++
		c.untold -= size
		c.changedLocked()
	})
}

// troubleLocked notes what went wrong, and has OnTrouble called.
func (c *Client) troubleLocked(err error) {
	c.stats.LastError = err.Error()
	if c.o.OnTrouble != nil && len(c.calls) < maxTroubles {
		c.tellLocked(func(ctx context.Context) { c.o.OnTrouble(ctx, err) })
	}
}

// callOf is the key, in the context of a call of the user's functions, of the
// client that makes it.
type callOf struct{}

// calledBy reports whether ctx is of a call that this client makes: what waits
// for that to return would wait for itself.
func (c *Client) calledBy(ctx context.Context) bool { return ctx.Value(callOf{}) == c }
