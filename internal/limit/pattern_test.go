package limit

import (
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/allocs"
)

// TestLongestPattern checks that the longest matching pattern decides. Among
// equally long ones, the one that names a part where the other has "*" decides.
// The order in the configuration never matters.
func TestLongestPattern(t *testing.T) {
	t.Parallel()
	paths := []string{
		"/", "/*/", "/data/", "/data/v2/projects/*/", "/data/v2/projects/*/consent/categories", "/data/v2/projects/one/",
		"/data/v2/projects/one/*/categories", "GET /data/v2/projects/*/consent/categories", "/data/*/projects/*/consent/list",
		"/data/v2/*/two/consent/list",
	}
	for _, c := range []struct{ call, want string }{
		{"GET /data/v2/projects/x/consent/categories", "GET /data/v2/projects/*/consent/categories"},
		{"HEAD /data/v2/projects/x/consent/categories", "GET /data/v2/projects/*/consent/categories"},
		{"POST /data/v2/projects/x/consent/categories", "/data/v2/projects/*/consent/categories"},
		// The first different part decides.
		{"POST /data/v2/projects/one/consent/categories", "/data/v2/projects/one/*/categories"},
		{"POST /data/v2/projects/one/consent/categories/", "/data/v2/projects/one/"},
		{"POST /data/v2/projects/one/consent/categories/x", "/data/v2/projects/one/"},
		{"POST /data/v2/projects/one/consent", "/data/v2/projects/one/"},
		// The record of calls has such paths.
		{"POST /data/v2/projects/{token}/consent/categories", "/data/v2/projects/*/consent/categories"},
		{"POST /data/v2/projects//consent/categories", "/data/"},
		{"POST /data/v2/projects/x", "/data/"},
		{"POST /data/v2/projects/x/", "/data/v2/projects/*/"},
		{"POST /data/v2/projects/two/consent/list", "/data/v2/*/two/consent/list"},
		{"POST /other/x", "/*/"},
		{"POST /other", "/"},
		{"POST /other/", "/*/"},
		{"POST //", "/"},
	} {
		for range 2 {
			policies := make([]trackway.Policy, len(paths))
			for i, path := range paths {
				policies[i] = trackway.Policy{Name: "p" + string(rune('a'+i)), Paths: []string{path}, Limit: 6000, Window: time.Minute}
			}
			set := mustSet(t, policies...)
			method, path, _ := strings.Cut(c.call, " ")
			var got []string
			for _, name := range set.Counting(method, path) {
				for _, p := range set.Policies() {
					if p.Name == name {
						got = append(got, p.Paths...)
					}
				}
			}
			if len(got) != 1 || got[0] != c.want {
				t.Errorf("%s: got %q, want %s", c.call, got, c.want)
			}
			last := len(paths) - 1
			for i := range len(paths) / 2 {
				paths[i], paths[last-i] = paths[last-i], paths[i]
			}
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	p := parsePattern("/data/v2/projects/*/consent/categories")
	if n := allocs.PerRun(100, func() { p.matches("GET", "/data/v2/projects/x/consent/categories") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
