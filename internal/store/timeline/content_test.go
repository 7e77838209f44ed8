package timeline

import "testing"

// TestUnmarked: the mark of a quarantine is no part of an event's content, but
// a value that looks like it is.
func TestUnmarked(t *testing.T) {
	t.Parallel()
	for marked, plain := range map[string]string{
		`{"$quarantined":"price: is required"}`:         `{}`,
		`{"$a":1,"$quarantined":"x","b":2}`:             `{"$a":1,"b":2}`,
		`{"a":{"$quarantined":"x"}}`:                    `{"a":{"$quarantined":"x"}}`,
		`{"$quarantined":"x","a":{"$quarantined":"y"}}`: `{"a":{"$quarantined":"y"}}`,
		`{"a":"\"$quarantined\":"}`:                     `{"a":"\"$quarantined\":"}`,
	} {
		if !SameContent([]byte(marked), []byte(plain)) || ContentHash("e", []byte(marked)) != ContentHash("e", []byte(plain)) {
			t.Errorf("%s and %s differ", marked, plain)
		}
	}
	for a, b := range map[string]string{
		`{"$quarantined":"x","a":1}`: `{"a":2}`, `{"a":{"$quarantined":"x"}}`: `{"a":{}}`,
	} {
		if SameContent([]byte(a), []byte(b)) {
			t.Errorf("%s and %s are the same", a, b)
		}
	}
}
