package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPublished(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"/track/", "/data/", "/api/", "/about/", "/assets/", "/grid/", "/v1/", "/projects/", "/batch/", "/capture/", "/e/", "/i/", "/flags/", "/decide/", "/array/", "/bulk/", "/crm/", "/webxp/", "/wxstatic/", "/campaigns/"}, Roots()); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/openapi.yaml", "/about/api", "/", "/assets/{name}"}, Free()); diff != "" {
		t.Errorf("free paths (-want +got):\n%s", diff)
	}
	if got := Floors()[0].Path; got != "/track/" {
		t.Errorf("the floor is on %s, want /track/", got)
	}
}
