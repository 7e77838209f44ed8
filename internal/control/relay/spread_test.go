package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestSpread: operators ask about destinations of partitions that different
// servers lead, and get one answer.
func TestSpread(t *testing.T) {
	t.Parallel()
	var asked []string
	answers := func(server, list, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, server+" "+r.URL.String())
			body := body
			if body == "" {
				Refuse(w, server+" is down")
				return
			}
			if r.URL.Path == "/destinations" {
				body = list
			}
			_, _ = fmt.Fprint(w, body)
		})
	}
	here := answers("here", `{"destinations":[{"name":"x/p01"}]}`, `{"name":"x","error":"full"}`)
	there := answers("there", `{"destinations":[{"name":"x/p00"},{"name":"x/p02"}]}`, `{"name":"x"}`)
	three := []Place{{"p00", "b", there, nil}, {"p01", "", here, []string{"x/p01"}}, {"p02", "b", there, nil}}
	gone := answers("gone", "", "")
	down := []Place{{"p00", "", here, nil}, {"p01", "c", gone, nil}}
	begins := []Place{{"p00", "b", there, []string{"x/p00"}}, {"p02", "b", there, []string{"x/p02", "y/p02"}}}
	for _, test := range []struct {
		path   string
		places []Place
		asked  []string
		status int
		want   string
	}{
		{"/destinations", three, []string{"there /destinations", "here /destinations"}, 200, `{"destinations":[{"name":"x/p00"},{"name":"x/p01"},{"name":"x/p02"}]}`},
		{"/destinations", three[1:2], []string{"here /destinations"}, 200, `"name":"x/p01"`},
		{"/destinations", down, []string{"here /destinations", "gone /destinations"}, 200, `{"destinations":[{"name":"x/p01"}],"unanswered":[{"partition":"p01","error":"gone is down"}]}`},
		{"/destinations", begins, []string{"there /destinations"}, 200, `"unanswered":[{"partition":"p02","error":"the server that leads it does not send to y/p02 yet"}]}`},
		{"/destinations", []Place{{"p00", "c", gone, nil}, {"p01", "c", gone, nil}}, []string{"gone /destinations"}, 503, `partition p00: gone is down\npartition p01: gone is down`},
		{
			"/destinations/check?name=x", down,
			[]string{"here /destinations/check?name=x%2Fp00", "gone /destinations/check?name=x%2Fp01"},
			200, `{"name":"x","error":"p00: full\np01: gone is down"}`,
		},
		{
			"/destinations/pause?name=x", three,
			[]string{"there /destinations/pause?name=x%2Fp00", "here /destinations/pause?name=x%2Fp01", "there /destinations/pause?name=x%2Fp02"},
			200, "",
		},
		{"/destinations/resume?name=x", down, []string{"here /destinations/resume?name=x%2Fp00", "gone /destinations/resume?name=x%2Fp01"}, 503, "p01: gone is down"},
		{"/destinations/pause?name=x%2Fp02", three[2:], []string{"there /destinations/pause?name=x%2Fp02"}, 200, ""},
		{
			"/destinations/check?name=x", three[:2],
			[]string{"there /destinations/check?name=x%2Fp00", "here /destinations/check?name=x%2Fp01"},
			200, `{"name":"x","error":"p01: full"}`,
		},
		{"/destinations/rewind?name=x", three, []string{"here /destinations/rewind?name=x"}, 200, ""},
		{"/destinations/pause?name=y", nil, []string{"here /destinations/pause?name=y"}, 200, ""},
	} {
		asked = nil
		w := httptest.NewRecorder()
		h := Spread(here, func(*http.Request) []Place { return test.places })
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, test.path, http.NoBody))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) || !slices.Equal(asked, test.asked) {
			t.Errorf("%s: got %d %s after asking %q; want %d %s, %q", test.path, w.Code, w.Body, asked, test.status, test.want, test.asked)
		}
	}
}
