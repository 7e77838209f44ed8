package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// A line is an object of JSON, whose last member is its checksum: the SHA-256
// of the checksum of the line before, a line break, and the object without this
// member. The first line has no line before it. If older lines were removed,
// the first one says so, and has the checksum of the last removed one: "prev".
// The line after it continues from there.

// line is an entry as it is written, without its checksum.
type line struct {
	Entry

	Prev string `json:"prev,omitempty"` // of the first line, if older ones were removed
}

const (
	sumBefore = `,"sum":"`
	sumAfter  = `"}`
	sumLength = len(sumBefore) + 2*sha256.Size + len(sumAfter)
)

// sumOf returns the checksum of an object that comes after a line with a given
// checksum.
func sumOf(before string, object []byte) string {
	h := sha256.New()
	h.Write([]byte(before + "\n"))
	h.Write(object)
	return hex.EncodeToString(h.Sum(nil))
}

// appendLine appends a line, with its line break, and returns its checksum.
func appendLine(b []byte, before string, l *line) (out []byte, sum string) {
	object, err := json.Marshal(l)
	if err != nil {
		panic("bug: an entry is no JSON: " + err.Error())
	}
	sum = sumOf(before, object)
	b = append(b, object[:len(object)-1]...)
	return append(b, sumBefore+sum+sumAfter+"\n"...), sum
}

// split returns the object and the checksum of a line, as they are written.
func split(text []byte) (object []byte, sum string, ok bool) {
	at := len(text) - sumLength
	if at < 1 || !bytes.HasPrefix(text[at:], []byte(sumBefore)) || !bytes.HasSuffix(text, []byte(sumAfter)) {
		return nil, "", false
	}
	object = append(bytes.Clone(text[:at]), '}')
	return object, string(text[at+len(sumBefore) : len(text)-len(sumAfter)]), true
}

// parse reads a line. It does not compare the checksum.
func parse(text []byte) (l line, sum string, ok bool) {
	object, sum, ok := split(text)
	return l, sum, ok && json.Unmarshal(object, &l) == nil
}

// place is a line's place in the chain. The zero place is before the first
// line.
type place struct {
	n   uint64
	sum string
}

// place returns the place of a line with a given checksum: that of the last
// entry up to there.
func (l *line) place(sum string) place {
	if l.Prev != "" {
		sum = l.Prev
	}
	return place{l.N, sum}
}

// follow checks that a line follows a place, and returns its own place.
func (p place) follow(text []byte) (next place, l line, why string) {
	object, sum, ok := split(text)
	if !ok || json.Unmarshal(object, &l) != nil {
		return p, l, "it is no entry"
	}
	next = l.place(sum)
	if l.Prev != "" && p != (place{}) {
		return next, l, "it says that it is the first entry"
	}
	if sumOf(p.sum, object) != sum {
		return next, l, "its checksum does not match: it was changed, or the line before it was changed, removed or moved"
	}
	if l.Prev == "" && l.N != p.n+1 {
		return next, l, fmt.Sprintf("it is entry %d, and comes after entry %d", l.N, p.n)
	}
	return next, l, ""
}
