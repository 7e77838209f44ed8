package dialect

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// basicUser returns the user of Basic credentials (RFC 7617), or "" without
// such credentials. The colon behind the user may be missing.
func basicUser(r *http.Request) string {
	plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(credentials(r, "Basic"), "="))
	if err != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(plain), ":")
	return user
}

// bearer returns the token of Bearer credentials (RFC 6750, section 2.1), or ""
// without such credentials.
func bearer(r *http.Request) string { return credentials(r, "Bearer") }

// credentials returns the credentials of a scheme, or "" without any.
func credentials(r *http.Request, scheme string) string {
	got, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(got, scheme) {
		return ""
	}
	return strings.TrimSpace(credentials)
}
