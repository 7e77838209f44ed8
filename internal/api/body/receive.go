package body

import (
	"errors"
	"io"
	"time"

	"trackway/internal/api/room"
)

// How slowly a body may arrive. A client that sends at least at this rate has
// as long as a request may take. A client may also pause, for grace in all, and
// regains grace as it sends. A phone on a bad network manages this: its bodies
// have a few KB, and TCP repeats lost packets several times within grace.
const (
	leastRate = 1 << 10 // bytes a second, in the mean
	grace     = 15 * time.Second
	mostTime  = time.Minute // for a whole body
)

// Sizes of buffers. A body of up to firstRead bytes that announces its length
// is read into a buffer of that length. Any other buffer grows as bytes arrive:
// fourfold while it is small, then twofold. One read of a server brings 4 KiB,
// so the first buffer is full with a head of up to 1 KiB. Otherwise another
// read would only fill it up.
const (
	firstRead = 3 << 10
	fourfold  = 16 << 10
)

var (
	errOverBound = errors.New("body: larger than it may be")
	errInflated  = errors.New("body: far larger than what was sent")
)

// buffer is a growing buffer, whose memory comes from a [room.Holding].
type buffer struct {
	held *room.Holding
	most int
	b    []byte
}

// grow gives the buffer this capacity, but at most one byte more than most.
// That byte shows that the body is too long. The capacity may be rounded up:
// see [usual].
func (u *buffer) grow(size int) error {
	size = usual(min(size, u.most+1))
	if err := u.held.Take(size); err != nil {
		return err
	}
	grown := append(bufferOf(size), u.b...)
	u.done()
	u.b = grown
	return nil
}

// done gives the memory back and lets others use it. REQUIRES: nothing refers
// to it.
func (u *buffer) done() {
	done := u.b
	u.free()
	reuse(done)
}

// free gives the memory back.
func (u *buffer) free() {
	if n := cap(u.b); n > 0 {
		u.held.Give(n)
	}
	u.b = nil
}

// next is the capacity after a full one.
func next(size int) int {
	switch {
	case size == 0:
		return firstRead
	case size <= fourfold:
		return 4 * size
	}
	return 2 * size
}

// receive reads what is sent, as long as it arrives fast enough. It takes
// memory for at most 3 KiB or four times what has arrived, whatever is
// announced.
func (b *Body) receive(u *buffer) error {
	p := pace{left: grace, end: b.began.Add(mostTime)}
	length := int(b.r.ContentLength) // most is smaller
	if length < 0 {
		length = b.rules.Most + 1
	}
	for b.state = begun; b.state != whole && len(u.b) < length; {
		if len(u.b) == cap(u.b) {
			if err := u.grow(min(next(cap(u.b)), length)); err != nil {
				return err
			}
		}
		now := time.Now()
		b.awaitMore(&p, now)
		if b.held.Dropped() {
			return room.ErrDropped
		}
		n, err := b.r.Body.Read(u.b[len(u.b):min(cap(u.b), length)])
		u.b = u.b[:len(u.b)+n]
		after := time.Now()
		p.came(n, after.Sub(now))
		b.held.Came(n, after)
		switch {
		case len(u.b) > b.rules.Most:
			return errOverBound
		case errors.Is(err, io.EOF) && (b.r.ContentLength < 0 || len(u.b) == length):
			b.state = whole
		case errors.Is(err, io.EOF):
			b.state = broken
			return io.ErrUnexpectedEOF
		case err != nil:
			return b.broken(err)
		}
	}
	b.state = whole
	return nil
}

// broken returns the error of reading. If the reader was cut off, the error
// says why.
func (b *Body) broken(err error) error {
	b.state = broken
	if b.held.Dropped() {
		return room.ErrDropped
	}
	return err
}

// awaitMore sets the deadline for the next read, if the one in force is much
// earlier.
func (b *Body) awaitMore(p *pace, now time.Time) {
	end := now.Add(p.left)
	if end.After(p.end) {
		end = p.end
	}
	if end.Sub(p.set) > grace/8 {
		p.set, b.timed = end, true
		b.readUntil(end)
	}
}

// pace is how much time a client has for what it sends.
type pace struct {
	left time.Duration // without sending anything
	end  time.Time     // of all its time
	set  time.Time     // the deadline in force
}

// came notes that n bytes came after some time.
func (p *pace) came(n int, took time.Duration) {
	p.left = min(p.left-took+time.Duration(n)*time.Second/leastRate, grace)
}
