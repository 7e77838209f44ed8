package destination

import (
	"errors"
	"testing"
)

// TestFailureIsNews: the log reports each reason of a failure once, and again
// if the reason returns.
func TestFailureIsNews(t *testing.T) {
	t.Parallel()
	var s stats
	for i, want := range []struct {
		text string
		news bool
	}{{"terminating connection", true}, {"wrong password", true}, {"wrong password", false}, {"terminating connection", true}} {
		if got := s.failed(errors.New(want.text), want.text); got != want.news {
			t.Errorf("%d, %s: got %v, want %v", i, want.text, got, want.news)
		}
	}
	if !s.recovered() || !s.failed(errors.New("x"), "terminating connection") {
		t.Error("a failure after a success is no news")
	}
}
