package trace

import (
	"encoding/hex"
	"net/http"
	"strings"
)

// parent is what a header traceparent says: the caller's own span.
type parent struct {
	trace   [16]byte
	span    [8]byte
	sampled bool // the caller records it
}

func (p *parent) valid() bool { return p.span != [8]byte{} }

// parentOf reads the header traceparent of a request (W3C Trace Context,
// section 3.2). It returns the zero value if the header is missing or
// malformed. It ignores tracestate, which may hold anything.
func parentOf(h http.Header) (p parent) {
	values := h["Traceparent"]
	if len(values) != 1 {
		return p
	}
	const whole, dashes = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"), "---"
	v := values[0]
	switch {
	case len(v) < whole, v[2:3]+v[35:36]+v[52:53] != dashes:
		return p
	case len(v) > whole && (v[:2] == "00" || v[whole] != '-'): // later versions may have more parts
		return p
	}
	var version, flags [1]byte
	if !read(version[:], v[:2]) || version[0] == 0xff || !read(p.trace[:], v[3:35]) || !read(p.span[:], v[36:52]) || !read(flags[:], v[53:55]) ||
		p.trace == [16]byte{} || !p.valid() {
		return parent{}
	}
	const sampled = 1
	p.sampled = flags[0]&sampled != 0
	return p
}

// read decodes lower-case hexadecimal digits.
func read(dst []byte, digits string) bool {
	if strings.ToLower(digits) != digits {
		return false
	}
	_, err := hex.Decode(dst, []byte(digits))
	return err == nil
}
