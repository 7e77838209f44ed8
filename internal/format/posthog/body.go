package posthog

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"

	"trackway/internal/canonjson"
	"trackway/internal/format/cost"
)

// form begins a body that is a form with one field, the JSON in Base64. Pages
// that cannot compress send it, because the media type of forms needs no
// preflight.
var form = []byte("data=")

// Takes returns a bound on the bytes that decoding a body allocates. The
// content of a form is not known yet, so the bound assumes the worst.
func Takes(body []byte) int {
	const (
		shortest   = 4   // bytes of a message in Base64, at least
		perMessage = 160 // beside its commands
	)
	if bytes.HasPrefix(body, form) {
		return cost.Factor*len(body) + (cost.PerCommand+perMessage)*min(len(body)/shortest, MaxMessages)
	}
	messages := min(bytes.Count(body, []byte{'{'}), MaxMessages)
	return len(body) + cost.Of(body, maxPerMessage*MaxMessages) + perMessage*messages
}

// plain returns a body as JSON. If the body is a form, plain decodes it in
// place, and fills the rest with spaces. So a second call finds the same JSON.
// A form that cannot be decoded becomes a text that is neither JSON nor a form.
func plain(body []byte) []byte {
	value, isForm := bytes.CutPrefix(body, form)
	if !isForm {
		return body
	}
	value, _, _ = bytes.Cut(value, []byte{'&'})
	text, ok := unescape(value)
	if ok && !isObjectOrArray(text) {
		text, ok = unpack(text)
	}
	if !ok {
		body[0] = '?'
		return body
	}
	n := copy(body, text)
	for i := range body[n:] {
		body[n+i] = ' '
	}
	return body
}

// unescape decodes the value of a form's field in place, except for plus signs:
// Base64 has them, and encodeURIComponent escapes those of JSON.
func unescape(value []byte) ([]byte, bool) {
	n := 0
	for i := 0; i < len(value); i, n = i+1, n+1 {
		value[n] = value[i]
		if value[i] != '%' {
			continue
		}
		if i+2 >= len(value) {
			return nil, false
		}
		if _, err := hex.Decode(value[n:n+1], value[i+1:i+3]); err != nil {
			return nil, false
		}
		i += 2
	}
	return value[:n], true
}

// unpack decodes Base64 in place, with or without padding.
func unpack(text []byte) ([]byte, bool) {
	text = bytes.TrimRight(text, "=")
	n, err := base64.RawStdEncoding.Decode(text, text)
	return text[:n], err == nil
}

func isObjectOrArray(text []byte) bool {
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// Token returns the key that a body names, or "". It is at the top of the body,
// or in the first message.
//
// Token may decode the body in place, see [Decode]. It reads as far as the key,
// and allocates nothing unless the key has escapes.
func Token(body []byte) string {
	s := canonjson.Scan(plain(body))
	switch s.Peek() {
	case canonjson.Object:
		return tokenOf(&s, 1)
	case canonjson.Array:
		for range s.Elements {
			if s.Peek() != canonjson.Object {
				return ""
			}
			return tokenOf(&s, 1)
		}
	}
	return ""
}

// tokenOf returns the key of an object: of a batch or a message, or of the
// properties of a message. It looks only the given number of levels deep.
func tokenOf(s *canonjson.Scanner, levels int) (token string) {
	for name := range s.Members {
		inner := ""
		switch name {
		case "api_key", "token":
			if v := s.Value(); v.Kind == canonjson.String && !s.Bad() {
				token = v.Text()
			}
		case "properties":
			if levels > 0 && s.Peek() == canonjson.Object {
				inner = tokenOf(s, levels-1)
			} else {
				s.Value()
			}
		default:
			s.Value()
		}
		if inner != "" && token == "" {
			token = inner
		}
		if s.Bad() {
			return ""
		}
		if token != "" {
			return token
		}
	}
	return ""
}
