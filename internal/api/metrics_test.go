package api

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A call that a limit refuses is counted by policy and project, but not as
// usage.
func TestRefusedIsCountedByProject(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy, apiPolicy)
	for _, token := range []string{projectToken, "unknown"} {
		for range 8 {
			f.send(http.MethodGet, "/track/v2/projects/"+token+"/system/time", nil, "X-Forwarded-For", "198.51.100.1")
		}
	}
	for range 3 {
		f.get("/api/limits")
	}
	want := map[string]float64{"track demo": 3, "track ": 8, "api ": 1}
	if diff := cmp.Diff(f.limited(t), want); diff != "" {
		t.Errorf("refused, by policy and project (-got +want):\n%s", diff)
	}
	if len(f.ingest.cmds) != 0 {
		t.Errorf("got %d commands, want none", len(f.ingest.cmds))
	}
}

// limited returns the calls that were refused, by policy and project.
func (f *fixture) limited(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if label := m.GetLabel(); family.GetName() == "trackway_limited_calls_total" {
				found[label[0].GetValue()+" "+label[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return found
}
