package client

import (
	"strings"
	"sync"
)

// positionHeader names how far the data of a server of a cluster goes.
// openapi/vectors/positions.json has the rules of positions as data.
const positionHeader = "Trackway-Position"

const maxDigits = 20 // of a number in a position

// place is the position that a client holds: a server that has reached it shows
// everything that the client knows of. It is safe for concurrent use.
type place struct {
	mu   sync.Mutex
	held string // empty: none
}

func (p *place) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// learn notes the position of an answer. sent is what the client held when it
// sent the request. stored says that the server has stored something of it:
// that comes after all that was known before. If its position does not, the
// cluster has lost that part of its log and begun it anew.
func (p *place) learn(answer, sent string, stored bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isPosition(answer) && (later(answer, p.held) || stored && sent != "" && p.held == sent) {
		p.held = answer
	}
}

// forget drops a position that the cluster does not know, and notes the
// position of the answer that says so.
func (p *place) forget(sent, answer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != sent {
		return // it was dropped before
	}
	p.held = ""
	if isPosition(answer) {
		p.held = answer
	}
}

// after notes what a decision about an answer means for the position.
func (p *place) after(d *decision, answer, sent string, stored bool) {
	if d.action == without {
		p.forget(sent, answer)
	} else {
		p.learn(answer, sent, stored)
	}
}

// isPosition reports whether a text is the number of a log, a dot, and the
// index of an entry in that log.
func isPosition(text string) bool {
	log, index, ok := strings.Cut(text, ".")
	return ok && isNumber(log) && isNumber(index)
}

func isNumber(text string) bool {
	return text != "" && len(text) <= maxDigits && strings.Trim(text, "0123456789") == "" && (text[0] != '0' || text == "0")
}

// later reports whether a position is later than another one, or of another
// log. A project has one log at a time.
func later(a, than string) bool {
	logA, a, _ := strings.Cut(a, ".")
	logB, b, _ := strings.Cut(than, ".")
	return logA != logB || len(a) > len(b) || len(a) == len(b) && a > b
}
