package client

import "context"

// maxTroubles is how many reports of trouble wait for a slow OnTrouble. Further
// ones are left out: later reports repeat them.
const maxTroubles = 16

// maxUntold limits the rejections that wait for a slow OnReject, in bytes of
// commands and reasons. About ten thousand rejections of usual size fit. A
// rejection that exceeds the limit by itself is accepted if no other waits.
const maxUntold = 4 << 20

// tellLocked queues a call of one of the user's functions. The calls are made
// one at a time and in order, on a goroutine that exists only while there are
// calls to make. So the user's function may be slow, and may call the client.
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

// tellRejectionLocked calls OnReject, and counts the call once it has returned.
// It leaves the call out if there is no room for it.
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

// troubleLocked records what went wrong, and calls OnTrouble.
func (c *Client) troubleLocked(err error) {
	c.stats.LastError = err.Error()
	if c.o.OnTrouble != nil && len(c.calls) < maxTroubles {
		c.tellLocked(func(ctx context.Context) { c.o.OnTrouble(ctx, err) })
	}
}

// callOf is a key of a context: its value is the client that calls a function
// of the user's with that context.
type callOf struct{}

// calledBy reports whether ctx comes from a call that this client is making.
// Waiting for that call to return would then never end.
func (c *Client) calledBy(ctx context.Context) bool { return ctx.Value(callOf{}) == c }
