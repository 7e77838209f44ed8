package ops

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/control/members"
)

// TestCluster: a member tells what it knows of its cluster. A server that
// stands alone has no such route.
func TestCluster(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status func() members.Status
		want   int
	}{
		{nil, http.StatusNotFound},
		{func() members.Status { return members.Status{Name: "eu", Level: members.Warn} }, http.StatusOK},
	} {
		w := httptest.NewRecorder()
		Handler(Config{Gatherer: prometheus.NewRegistry(), Cluster: c.status}).
			ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/-/cluster", http.NoBody))
		var got members.Status
		if w.Code != c.want || w.Code == http.StatusOK && (json.Unmarshal(w.Body.Bytes(), &got) != nil || got.Name != "eu" || got.Level != members.Warn) {
			t.Errorf("got %d %s, want %d", w.Code, w.Body, c.want)
		}
	}
}
