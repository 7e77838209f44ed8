package main

import (
	"log"
	"math/rand/v2"
	"net/netip"
)

// column is a pattern of calls.
type column struct {
	name, title string
	callers     int
	limit       int                                  // calls in an hour; 0: more than any caller makes
	draw        func(r *rand.Rand) (next func() int) // nil: one caller
}

func uniform(n int) func(*rand.Rand) func() int {
	return func(r *rand.Rand) func() int { return func() int { return r.IntN(n) } }
}

func zipf(r *rand.Rand) func() int {
	z := rand.NewZipf(r, 1.1, 1, 1e6-1)
	return func() int { return int(z.Uint64()) }
}

var columns = []column{
	{name: "hot", title: "one caller", callers: 1},
	{name: "refused", title: "one caller, refused", callers: 1, limit: 1},
	{name: "1M-uniform", title: "1 M, evenly", callers: 1e6, draw: uniform(1e6)},
	{name: "1M-zipf", title: "1 M, Zipf (1.1)", callers: 1e6, draw: zipf},
	{name: "10M-uniform", title: "10 M, evenly", callers: 1e7, draw: uniform(1e7)},
}

func columnNamed(name string) column {
	for _, c := range columns {
		if c.name == name {
			return c
		}
	}
	log.Fatalf("no column %q", name)
	return column{}
}

// calls is the sequence of callers. It is generated beforehand and read in
// order, so that drawing costs nothing during the measurement.
type calls struct {
	ids    []uint32
	mask   int
	text   string // all addresses in one text, so that the collector follows no pointers
	ends   []uint32
	offset [8]int
}

func newCalls(col column) *calls {
	n, next := 1, func() int { return 7 }
	if col.draw != nil {
		n, next = 1<<22, col.draw(rand.New(rand.NewPCG(1, 2)))
	}
	c := &calls{ids: make([]uint32, n), mask: n - 1}
	for i := range c.ids {
		c.ids[i] = uint32(next())
	}
	for w := range c.offset {
		c.offset[w] = w * n / 2
	}
	return c
}

// spell writes out the callers' addresses, for limiters with string keys.
func (c *calls) spell() {
	var text []byte
	c.ends = make([]uint32, 1, len(c.ids)+1)
	for _, id := range c.ids {
		text = addr(id).AppendTo(text)
		c.ends = append(c.ends, uint32(len(text)))
	}
	c.text = string(text)
}

func (c *calls) key(i int) string { return c.text[c.ends[i]:c.ends[i+1]] }

// next returns the position at which a worker continues.
func (c *calls) next(worker int) int { return c.offset[worker] }

func (c *calls) keep(worker, at int) { c.offset[worker] = at }

// addr is the address of a caller, counting up from 20.0.0.0.
func addr(id uint32) netip.Addr {
	id += 20 << 24
	return netip.AddrFrom4([4]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
}
