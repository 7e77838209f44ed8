package page

import (
	"testing"

	"trackway"
)

// TestIsQuarantined: only a property of the event itself is the mark.
func TestIsQuarantined(t *testing.T) {
	t.Parallel()
	for properties, want := range map[string]bool{
		"": false, `{}`: false, `{"a":1}`: false, `{"$quarantined":"x"}`: true, `{"!":1,"$quarantined":"x","a":1}`: true,
		`{"a":{"$quarantined":"x"}}`: false, `{"a":"\"$quarantined\":"}`: false,
	} {
		if got := isQuarantined(&trackway.Event{Properties: []byte(properties)}); got != want {
			t.Errorf("%s: got %v, want %v", properties, got, want)
		}
	}
}
