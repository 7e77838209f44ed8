package doctor

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestDamage checks that doctor reports the damage that the server has found,
// and says nothing about a server that does not report damage.
func TestDamage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		metrics, found string
		level          Level
	}{
		"none": {
			"trackway_store_damaged{what=\"event\"} 0\ntrackway_store_damaged{what=\"file\"} 0\n",
			"everything that was read since the start was intact", OK,
		},
		"some": {
			"# HELP trackway_store_damaged …\ntrackway_store_damaged{what=\"event\"} 12\ntrackway_store_damaged{what=\"file\"} 1\n" +
				"trackway_store_damaged{what=\"usage\"} 0\n",
			"parts of the store cannot be read: 12 × event, 1 × file", Fail,
		},
		"older": {"trackway_store_tables 7\n", "", OK},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/metrics" {
					_, _ = w.Write([]byte(test.metrics))
				}
			}))
			defer web.Close()
			x := &examination{Env: Env{Web: web.Client(), OpsURL: web.URL}}
			x.damage(t.Context())
			if test.found == "" {
				if len(x.findings) > 0 {
					t.Errorf("got %+v", x.findings)
				}
				return
			}
			if len(x.findings) != 1 || x.findings[0].Found != test.found || x.findings[0].Level != test.level {
				t.Errorf("got %+v, want %s %q", x.findings, test.level, test.found)
			}
		})
	}
}
