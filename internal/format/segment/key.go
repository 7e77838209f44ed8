package segment

import "trackway/internal/canonjson"

// WriteKey returns the key in a body: the string writeKey of the outermost
// object, or "" if it is absent. The last one wins, as everywhere.
//
// Cost: a scan of the whole body.
func WriteKey(body []byte) (key string) {
	s := canonjson.Scan(body)
	if s.Peek() != canonjson.Object {
		return ""
	}
	for name := range s.Members {
		v := s.Value()
		if name != "writeKey" || s.Bad() {
			continue
		}
		if key = ""; v.Kind == canonjson.String {
			key = v.Text()
		}
	}
	if s.Bad() {
		return ""
	}
	return key
}
