package passing

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestNew: nobody carries out a call for a project that has no place yet. If
// another server has passed it on, that one tries the next.
func TestNew(t *testing.T) {
	t.Parallel()
	alone := &Away{}
	several := &Away{Holders: func(uint32) ([]http.RoundTripper, bool) { return nil, true }}
	for name, a := range map[string]*Away{"one partition": alone, "several": several} {
		if a.Holds(0) || !a.Holds(1) {
			t.Errorf("%s: it holds a project without a number, or not one with a number", name)
		}
		w := httptest.NewRecorder()
		if _, done, err := a.Carry(t.Context(), 0, &Call{W: w}, new(Caller)); done || !errors.Is(err, errNew) || w.Header().Get(elsewhereField) != "" {
			t.Errorf("%s: got %v, %v, %v", name, done, err, w.Header())
		}
		if _, done, err := a.Carry(t.Context(), 0, &Call{W: w, By: new(Caller)}, new(Caller)); done || err == nil || w.Header().Get(elsewhereField) == "" {
			t.Errorf("%s: passed on: got %v, %v, %v", name, done, err, w.Header())
		}
	}
}
