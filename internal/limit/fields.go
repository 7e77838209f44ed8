package limit

import (
	"net/http"
	"strconv"
	"unsafe"
)

// The response fields, in the letter case in which they are sent. Set assigns
// them to the map directly, because Header.Set would write X-Ratelimit-Limit.
// HTTP/2 sends all names in lower case anyway.
const (
	fieldLimit     = "X-RateLimit-Limit"
	fieldRemaining = "X-RateLimit-Remaining"
	fieldReset     = "X-RateLimit-Reset"
	fieldPolicy    = "RateLimit-Policy" // draft-ietf-httpapi-ratelimit-headers-10 section 3
	fieldState     = "RateLimit"        // the same, section 4
)

// constants holds the parts of the fields that all responses of one limit
// share. It is never written after construction.
type constants struct {
	quota  uint32
	limit  []string // value of X-RateLimit-Limit
	policy []string // value of RateLimit-Policy
	state  string   // beginning of RateLimit, up to the remaining number
	phrase string   // beginning of the refusal's message, up to the seconds
}

func (p *policy) newConstants(limit uint32) *constants {
	quota, window := strconv.FormatUint(uint64(limit), 10), strconv.FormatInt(ceilSeconds(p.Window), 10)
	name := `"` + p.Name + `"`
	return &constants{
		quota:  limit,
		limit:  []string{quota},
		policy: []string{name + ";q=" + quota + ";w=" + window},
		state:  name + ";r=",
		phrase: "Too many requests. Limit to max " + quota + " per " + window + " seconds. Try again in ",
	}
}

// Fields holds the values of one response's fields. The header points into it:
// do not copy it, and do not use it again before the response has been written.
// A server that embeds it in its own request state needs no allocation. The
// zero value is ready to use.
type Fields struct {
	values [4]string
	text   [maxName + 80]byte
}

var (
	noStore  = []string{"no-store"} // RFC 6585 section 4: a 429 must not be cached
	jsonType = []string{"application/json"}
)

// Set writes the five fields of d into h. For a refused call it also writes
// Retry-After, Cache-Control and Content-Type. It does nothing if no policy
// counted the call.
func (f *Fields) Set(h http.Header, d *Decision) {
	if !d.Limited {
		return
	}
	b := f.text[:0]
	b = strconv.AppendUint(b, uint64(d.Remaining), 10)
	remaining := len(b)
	b = strconv.AppendInt(b, d.Reset, 10)
	reset := len(b)
	b = d.appendState(b)
	state := len(b)
	b = strconv.AppendInt(b, d.RetryAfter(), 10)
	text := unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // G103: text is not written again while this string lives
	f.values = [4]string{text[:remaining], text[remaining:reset], text[reset:state], text[state:]}
	h[fieldLimit] = d.fields.limit
	h[fieldRemaining] = f.values[0:1:1]
	h[fieldReset] = f.values[1:2:2]
	h[fieldPolicy] = d.fields.policy
	h[fieldState] = f.values[2:3:3]
	if !d.Allowed {
		h["Retry-After"] = f.values[3:4:4]
		h["Cache-Control"] = noStore
		h["Content-Type"] = jsonType
	}
}

func (d *Decision) appendState(b []byte) []byte {
	b = append(b, d.fields.state...)
	b = strconv.AppendUint(b, uint64(d.Remaining), 10)
	b = append(b, ";t="...)
	return strconv.AppendInt(b, d.RetryAfter(), 10)
}

// AppendBody appends the body of the response to a refused call, byte for byte
// as published.
func (d *Decision) AppendBody(b []byte) []byte {
	b = append(b, `{"status":429,"error":"rate limit","message":"`...)
	b = d.AppendMessage(b)
	return append(b, `"}`...)
}

// AppendMessage appends the sentence of the body: "Too many requests. Limit to
// max 30 per 30 seconds. Try again in 12 seconds."
func (d *Decision) AppendMessage(b []byte) []byte {
	b = append(b, d.fields.phrase...)
	b = strconv.AppendInt(b, d.RetryAfter(), 10)
	return append(b, " seconds."...)
}
