package client

import (
	"runtime"
	"strings"
)

// maxTroubles is how many reports of trouble wait for a slow OnTrouble: what is left out, later ones repeat.
const maxTroubles = 16

// maxUntold bounds the rejections that wait for a slow OnReject, in bytes of commands and reasons: some ten thousand as they
// usually are. One may be larger alone.
const maxUntold = 4 << 20

// tellLocked has a function of the user's called: one at a time, in order, by a goroutine that is there as long as there is
// something to tell, so that the user may take his time and call the client.
func (c *Client) tellLocked(call func()) {
	c.calls = append(c.calls, call)
	if !c.telling {
		c.telling = true
		go c.tell()
	}
}

func (c *Client) tell() {
	for call := c.nextCall(); call != nil; call = c.nextCall() {
		call()
	}
}

func (c *Client) nextCall() func() {
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
	c.tellLocked(func() {
		c.o.OnReject(r)
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
		c.tellLocked(func() { c.o.OnTrouble(err) })
	}
}

// insideCall reports whether it is a function of the user's that is calling, by way of [Client.tell]: who waited for that to
// return would wait for himself. What such a function has other goroutines do is not seen.
func insideCall() bool {
	pcs := make([]uintptr, 64)
	for skip := 0; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			if strings.HasSuffix(frame.Function, "client.(*Client).tell") {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
