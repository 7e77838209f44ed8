package ops

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestReadyNotes: other things that are not in order follow in further lines,
// whether or not the server accepts requests.
func TestReadyNotes(t *testing.T) {
	t.Parallel()
	var why error
	h := Handler(Config{
		Gatherer: prometheus.NewRegistry(), Ready: func() error { return why }, Listen: "127.0.0.1:1", Reload: func() error { return nil },
		Notes: func() []string { return []string{"partition p01: no leader", "a project waits"} },
	})
	for status, want := range map[int]string{200: "ready", 503: "stopping"} {
		if why = nil; status != http.StatusOK {
			why = errors.New(want)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:1/-/ready", http.NoBody))
		if got := w.Body.String(); w.Code != status || got != want+"\npartition p01: no leader\na project waits\n" {
			t.Errorf("got %d %q", w.Code, got)
		}
	}
}
