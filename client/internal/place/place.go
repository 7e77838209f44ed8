// Package place knows how far the data of a cluster goes, as far as a client
// has learned. openapi/vectors/positions.json has its rules as data.
package place

import (
	"strings"
	"sync"
)

// Header is the header field that names a position.
const Header = "Trackway-Position"

const maxDigits = 20 // of a number in a position

// Place is the position that a client holds: a server that has reached it shows
// everything that the client knows of. It is safe for concurrent use. The zero
// value holds none.
type Place struct {
	mu   sync.Mutex
	held string // empty: none
}

// Held returns the position, or an empty text.
func (p *Place) Held() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Learn notes a position, if it is later.
func (p *Place) Learn(position string) { p.Note(position, "", false, false) }

// Note notes the position of an answer. sent is what the client held when it
// sent the request.
//
// stored says that the server has stored something of it: that comes after all
// that was known before. If its position does not, the cluster has lost that
// part of its log. unknown says that the cluster does not
// know the position that was sent. In both cases, what was sent is dropped.
func (p *Place) Note(answer, sent string, stored, unknown bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dropped := sent != "" && p.held == sent && (stored || unknown)
	switch {
	case Is(answer) && (dropped || !unknown && later(answer, p.held)):
		p.held = answer
	case dropped && unknown:
		p.held = ""
	}
}

// Is reports whether a text is a position: the number of a log, a dot, and the
// index of an entry in that log.
func Is(text string) bool {
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
