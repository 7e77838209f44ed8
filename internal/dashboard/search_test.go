package dashboard

import (
	"net/http"
	"net/url"
	"testing"
)

// A pasted identifier is found, even if it looks like name=value, as base64
// does.
func TestFindIdentifierWithSign(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.apply(t, "", "", "YWJj=ZA==", "a@x")
	f.apply(t, "", "", "YWJj=Zb==", "b@x")
	f.apply(t, "", "", "other", "YWJj")
	find := func(search string, want ...string) {
		t.Helper()
		fields := []string{searchField, url.Values{"q": {search}}.Encode()}
		wantOK(t, f.send(t, http.MethodGet, "/grid/customers?project="+token, "", fields...), want...)
	}
	find("YWJj=ZA==", `"customer":"1"`, `"next":null`)
	find("YWJj=", `"customer":"1"`, `"customer":"2"`)
	find("cookie=YWJj=Zb==", `{"rows":[{"customer":"2"`)
	find("email=YWJj", `{"rows":[{"customer":"3"`)
	find("YWJj=Zc", `{"rows":[],`)
}
