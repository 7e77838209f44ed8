package shortcut

import (
	"bytes"
	"net/http"
	"net/textproto"
)

// maxFields is the maximum number of fields in the head of a plain request.
const maxFields = 32

// span is a part of a head.
type span struct{ start, end uint16 }

func (s span) of(text string) string { return text[s.start:s.end] }
func (s span) in(b []byte) []byte    { return b[s.start:s.end] }

// head is a parsed request head. It refers to places in the bytes of the head.
type head struct {
	size    int   // bytes
	length  int64 // of the body; 0: no body
	lengths bool  // a field declares it
	encoded bool  // a field says how the body is encoded

	method, target, host span
	fields               [maxFields]struct{ name, value span }
	n                    int // fields
}

// left returns how many bytes of the request come after b. It is negative if b
// holds more than the request.
func (h *head) left(b []byte) int64 { return int64(h.size) + h.length - int64(len(b)) }

// parse reads the head of a request. It reports whether b holds all of it and
// understands it: the end of the request is beyond doubt, and net/http would
// read it in the same way. This requires HTTP/1.1 with a path and one Host,
// CRLF at the end of every line, and a body of one Content-Length, or no body.
// All bytes are visible ASCII, or space or a tab within a value.
func (h *head) parse(b []byte) bool {
	*h = head{}
	if len(b) > 1<<16-1 {
		return false
	}
	at := h.request(b)
	if at == 0 {
		return false
	}
	for ; ; h.n++ {
		if bytes.HasPrefix(b[at:], []byte("\r\n")) {
			h.size = at + len("\r\n")
			return h.host.end > 0
		}
		if h.n == maxFields {
			return false
		}
		f := &h.fields[h.n]
		if f.name, f.value, at = fieldAt(b, at); at == 0 || !h.note(b, f.name.in(b), f.value) {
			return false
		}
	}
}

// note notes the meaning of a field for the request. It reports whether it
// understands the field.
func (h *head) note(b, name []byte, value span) bool {
	is := func(known string) bool { return bytes.EqualFold(name, []byte(known)) }
	switch len(name) {
	case len("Host"):
		if is("Host") {
			again := h.host.end > 0
			h.host = value
			return !again && isHost(value.in(b))
		}
	case len("Connection"):
		return !is("Connection") || bytes.EqualFold(value.in(b), []byte("keep-alive"))
	case len("Content-Length"):
		if is("Content-Length") {
			again := h.lengths
			h.lengths = true
			n, ok := number(value.in(b))
			h.length = n
			return ok && !again
		}
	case len("Content-Encoding"):
		h.encoded = h.encoded || is("Content-Encoding")
	// Pragma and Upgrade are as long as the first two
	case len("Expect"), len("Trailer"), len("Transfer-Encoding"):
		return !is("Expect") && !is("Pragma") && !is("Trailer") && !is("Upgrade") && !is("Transfer-Encoding")
	}
	return true
}

// request reads the first line and returns where the next one begins, or 0 if
// it does not understand the line.
func (h *head) request(b []byte) (next int) {
	i := 0
	for i < len(b) && 'A' <= b[i] && b[i] <= 'Z' {
		i++
	}
	h.method = span{0, uint16(i)}
	if i == 0 || i+1 >= len(b) || b[i] != ' ' || b[i+1] != '/' || string(b[:i]) == http.MethodConnect {
		return 0
	}
	start := i + 1
	for i = start; i < len(b) && ' ' < b[i] && b[i] <= '~'; i++ {
	}
	h.target = span{uint16(start), uint16(i)}
	const rest = " HTTP/1.1\r\n"
	if !bytes.HasPrefix(b[i:], []byte(rest)) {
		return 0
	}
	return i + len(rest)
}

// fieldAt reads the field at a place and returns where the next line begins, or
// 0 if it does not understand the field. It trims the value.
func fieldAt(b []byte, at int) (name, value span, next int) {
	i := at
	for i < len(b) && isToken[b[i]] {
		i++
	}
	name = span{uint16(at), uint16(i)}
	if i == at || i == len(b) || b[i] != ':' {
		return name, value, 0
	}
	for i++; i < len(b) && (b[i] == ' ' || b[i] == '\t'); i++ {
	}
	start, end := i, i
	for ; i < len(b) && (b[i] >= ' ' && b[i] <= '~' || b[i] == '\t'); i++ {
		if b[i] != ' ' && b[i] != '\t' {
			end = i + 1
		}
	}
	if i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' {
		return name, value, 0
	}
	return name, span{uint16(start), uint16(end)}, i + len("\r\n")
}

// number reads a length: up to nine digits, without leading zeros.
func number(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 9 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// isPost reports whether a request is a POST.
//
// REQUIRES: parse has read the request. If it did not understand the first
// line, the result is false.
func (h *head) isPost(b []byte) bool { return string(h.method.in(b)) == http.MethodPost }

// isPlain reports whether the shortcut answers an understood request: a POST
// with a body to a path without escapes or dots. A body that is large, or is
// encoded and may inflate to a large one, may then wait for seconds for its
// turn. Such a request needs a context that ends with its client and with the
// server.
func (h *head) isPlain(b []byte, c *Config) bool {
	target := h.target.in(b)
	if !h.isPost(b) || h.length == 0 || h.length > int64(c.MaxBody) || h.encoded || !beginsWith(target, c.Prefixes) {
		return false
	}
	const gzip = "\x1f\x8b" // which no field mentions
	if begins := b[h.size:]; len(begins) < len(gzip) && h.left(b) > 0 || bytes.HasPrefix(begins, []byte(gzip)) {
		return false
	}
	for i, c := range target {
		if !isName[c] && (c != '/' || i > 0 && target[i-1] == '/') {
			return false
		}
	}
	return true
}

func beginsWith(target []byte, prefixes []string) bool {
	for _, prefix := range prefixes {
		if bytes.HasPrefix(target, []byte(prefix)) {
			return true
		}
	}
	return false
}

// put copies the fields into a header, using the text of the head. It stores
// the values in room, one for each field.
func (h *head) put(header http.Header, text string, room *[maxFields]string) {
	for i := range h.n {
		f := &h.fields[i]
		name := textproto.CanonicalMIMEHeaderKey(f.name.of(text))
		if name == "Host" {
			continue // net/http keeps it in the request only
		}
		room[i] = f.value.of(text)
		if before := header[name]; before != nil {
			header[name] = append(before, room[i])
		} else {
			header[name] = room[i : i+1 : i+1]
		}
	}
}

// Bytes by allowed position: names of fields (RFC 9110, section 5.6.2),
// segments of a plain path, and hosts.
var (
	isToken    = bytesOf("!#$%&'*+-.^_`|~")
	isName     = bytesOf("-_")
	isHostByte = bytesOf("-._:[]")
)

// bytesOf returns letters, digits and more.
func bytesOf(more string) (set [256]bool) {
	for c := range set {
		set[c] = '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	for _, c := range []byte(more) {
		set[c] = true
	}
	return set
}

func isHost(b []byte) bool {
	for _, c := range b {
		if !isHostByte[c] {
			return false
		}
	}
	return len(b) > 0
}
