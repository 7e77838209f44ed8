package catalogue

import (
	"fmt"
	"hash/maphash"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/change"
)

// The work of a round. If more changes have come than it may look at, later
// rounds look at the rest. If those were too many, the round looks at runs of
// changes, evenly spread, and each event that it sees stands for those between
// two runs, too.
const (
	mostLooked  = 2000    // changes to look at
	mostBytes   = 2 << 20 // of events to look at
	mostRounds  = 10      // that it may take to look at every change
	run         = 32      // changes, one after another
	usualBytes  = 512     // of a change, before any is known
	mostMembers = 100     // of an event's properties to look at

	// A round skips most changes of a longer part of the log than this only if
	// there is much more: a store without a catalogue is learned in such parts.
	usualPart = 50 * mostLooked
)

// round looks at the changes since the last round. Only one goroutine may call
// it.
func (c *Catalogue) round() error {
	c.mu.Lock()
	end := c.log.Synced()
	c.position = min(c.position, end) // a restored store has fewer changes
	after := c.position
	c.mu.Unlock()
	part := end - after
	if part > usualPart {
		part = max(usualPart, part/8)
	}
	look := uint64(min(mostLooked, max(mostBytes/max(c.bytes, 1), run)))
	if part <= mostRounds*look {
		end = after + min(part, look)
		_, err := c.read(after, end, end, 1)
		return err
	}
	stride := part / (look / run)
	part -= part % stride                                             // the rest is for the next round
	offset := (after * 0x9e3779b97f4a7c15 >> 32) % (stride - run + 1) // so that no period of the log meets the stride
	end = after + part
	for bytes := 0; after < end && bytes < 2*mostBytes; {
		n, err := c.read(after+offset, after+offset+run, after+stride, float64(stride)/run)
		if err != nil {
			return err
		}
		bytes += n
		after += stride
	}
	return nil
}

// read learns from the changes after a number up to another one. Then the
// position is next. It returns the size of the events.
func (c *Catalogue) read(after, through, next uint64, weight float64) (bytes int, err error) {
	looked := 0
	for some, err := range c.log.Changes(after, through) {
		if err != nil {
			return bytes, fmt.Errorf("learn the types of events: %w", err)
		}
		n := c.learn(some, weight)
		bytes, looked = bytes+n, looked+len(some)
		if bytes > 2*mostBytes { // the next round goes on behind these
			next = some[len(some)-1].Number
			break
		}
	}
	if looked > 0 {
		c.bytes = (3*c.bytes + bytes/looked) / 4
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if gone := next - c.position; weight != 1 && gone > run {
		c.skipped += gone - run
	}
	c.changed = c.changed || next != c.position
	c.position = next
	return bytes, nil
}

// learn looks at changes, and returns the size of the events.
func (c *Catalogue) learn(some []change.Change, weight float64) (bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range some {
		e := some[i].Event
		if e == nil {
			continue
		}
		bytes += len(e.Properties)
		r := c.rules[e.Project]
		if r == nil {
			continue
		}
		c.learnEvent(r, c.projects[e.Project], e, weight)
	}
	return bytes
}

func (c *Catalogue) learnEvent(r *rules, p *project, e *trackway.Event, weight float64) {
	at := e.Received
	p.note(at, weight)
	t := p.typeOf(maphash.String(c.seed, e.Type), e.Type, at, weight)
	if t == nil {
		p.OtherTypes += weight
		return
	}
	before := t.Seen
	t.note(at, weight)
	t.Hours.add(at, weight)
	scan, members, others := canonjson.Scan(e.Properties), 0, false
	for name := range scan.Members {
		if members++; members > mostMembers {
			others = true
			break
		}
		v := scan.Value()
		of := p.propertyOf(t, maphash.String(c.seed, name), name, at, weight, before)
		if of == nil {
			others = true
			continue
		}
		of.note(at, weight)
		of.add(v, at)
		if !of.judged {
			of.judged, of.hidden = true, r.hides(name)
		}
		if !of.hidden && showable(v) {
			of.values.note(c.hash(v.Raw), maphash.Comparable(c.seed, e.Customer), v.Raw)
		}
	}
	if others {
		t.OtherProperties += weight
	}
}

// hash returns a hash that nobody outside this process can compute.
func (c *Catalogue) hash(text []byte) uint64 { return maphash.Bytes(c.seed, text) }
