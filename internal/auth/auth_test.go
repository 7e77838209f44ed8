package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/allocs"
)

const (
	demoToken = "12345678-1234-1234-1234-123456789abc"
	shopToken = "00000000-0000-0000-0000-00000000cafe"
	secret    = "s3cret:with=colon"
)

var projects = []trackway.Project{
	{
		Name: "demo", Token: demoToken,
		Keys: []trackway.Key{
			{Name: "web", Kind: trackway.PublicKey, ID: "public-key"},
			{Name: "backend", Kind: trackway.PrivateKey, ID: "backend-id", Secret: sha256.Sum256([]byte(secret))},
			{Name: "next", Kind: trackway.PrivateKey, ID: "next-id", Secret: sha256.Sum256([]byte("other"))},
			{Name: "long", Kind: trackway.PrivateKey, ID: strings.Repeat("i", 256), Secret: sha256.Sum256([]byte(strings.Repeat("s", 256)))},
			{Name: "twin", Kind: trackway.PrivateKey, ID: "public-key", Secret: sha256.Sum256(nil)},
		},
	},
	{Name: "shop", Token: shopToken, Keys: []trackway.Key{{Name: "shop", Kind: trackway.PublicKey, ID: "shop-key"}}},
	{Name: "closed", Token: "11111111-1111-1111-1111-111111111111"},
}

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func private(g Grant) bool { return g.Key.Kind == trackway.PrivateKey }

func basic(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	keys := New(projects)
	tests := map[string]struct {
		token, header, query string
		want                 string // the key's name, or the error's message
		private              bool
	}{
		"public key":               {token: demoToken, header: "Token public-key", want: "web"},
		"scheme in capitals":       {token: demoToken, header: "TOKEN public-key", want: "web"},
		"more spaces":              {token: demoToken, header: "Token   public-key  ", want: "web"},
		"in the query":             {token: demoToken, query: "public-key", want: "web"},
		"the header goes first":    {token: demoToken, header: "Token unknown", query: "public-key", want: "Access key not found"},
		"private key":              {token: demoToken, header: basic("backend-id:" + secret), want: "backend", private: true},
		"lower case, as PHP sends": {token: demoToken, header: "basic" + basic("backend-id:" + secret)[5:], want: "backend", private: true},
		"without padding":          {token: demoToken, header: strings.TrimRight(basic("backend-id:"+secret), "="), want: "backend", private: true},
		"another private key":      {token: demoToken, header: basic("next-id:other"), want: "next", private: true},
		"longest": {
			token: demoToken, header: basic(strings.Repeat("i", 256) + ":" + strings.Repeat("s", 256)), want: "long", private: true,
		},
		"the same id, private":         {token: demoToken, header: basic("public-key:"), want: "twin", private: true},
		"project token in capitals":    {token: strings.ToUpper(demoToken), header: "Token public-key", want: "web"},
		"another project":              {token: shopToken, header: "Token shop-key", want: "shop"},
		"key of another project":       {token: shopToken, header: "Token public-key", want: "Access key not found"},
		"private of another project":   {token: shopToken, header: basic("backend-id:" + secret), want: "Access key not found"},
		"project without keys":         {token: projects[2].Token, header: "Token public-key", want: "Access key not found"},
		"unknown project":              {token: "12345678-1234-1234-1234-123456789abd", header: "Token public-key", want: "Invalid project id"},
		"malformed project":            {token: "demo", header: "Token public-key", want: "Invalid project id"},
		"no project":                   {header: "Token public-key", want: "Invalid project id"},
		"no header":                    {token: demoToken, want: "Access key not provided"},
		"scheme only":                  {token: demoToken, header: "Token", want: "Access key not provided"},
		"scheme and space":             {token: demoToken, header: "Token ", want: "Access key not provided"},
		"key only":                     {token: demoToken, header: "public-key", want: "Access key not provided"},
		"another scheme":               {token: demoToken, header: "Bearer public-key", want: "Access key not provided"},
		"bad scheme, good query":       {token: demoToken, header: "Bearer x", query: "public-key", want: "Access key not provided"},
		"not base64":                   {token: demoToken, header: "Basic !!!", want: "Access key not provided"},
		"base64 of URLs":               {token: demoToken, header: "Basic " + base64.URLEncoding.EncodeToString([]byte("??>:>>>")), want: "Access key not provided"},
		"no colon":                     {token: demoToken, header: basic("backend-id"), want: "Access key not provided"},
		"padding only":                 {token: demoToken, header: "Basic ===", want: "Access key not provided"},
		"unknown key":                  {token: demoToken, header: "Token unknown", want: "Access key not found"},
		"unknown in the query":         {token: demoToken, query: "unknown", want: "Access key not found"},
		"unknown private":              {token: demoToken, header: basic("unknown:" + secret), want: "Access key not found"},
		"key in another case":          {token: demoToken, header: "Token PUBLIC-KEY", want: "Access key not found"},
		"private id as public":         {token: demoToken, header: "Token backend-id", want: "Access key not found"},
		"private id in the query":      {token: demoToken, query: "backend-id", want: "Access key not found"},
		"no id":                        {token: demoToken, header: basic(":" + secret), want: "Access key not found"},
		"wrong secret":                 {token: demoToken, header: basic("backend-id:wrong"), want: "Invalid secret"},
		"no secret":                    {token: demoToken, header: basic("backend-id:"), want: "Invalid secret"},
		"secret of another":            {token: demoToken, header: basic("backend-id:other"), want: "Invalid secret"},
		"secret cut off":               {token: demoToken, header: basic("backend-id:" + secret[:len(secret)-1]), want: "Invalid secret"},
		"secret and more":              {token: demoToken, header: basic("backend-id:" + secret + "x"), want: "Invalid secret"},
		"the hash is not the secret":   {token: demoToken, header: basic("backend-id:" + string(projects[0].Keys[1].Secret[:])), want: "Invalid secret"},
		"a public key with a password": {token: shopToken, header: basic("shop-key:"), want: "Access key not found"},
	}
	codes := map[string]trackway.Code{
		"Invalid project id": trackway.Invalid, "Access key not provided": trackway.Unidentified,
		"Access key not found": trackway.Unidentified, "Invalid secret": trackway.Forbidden,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			grant, err := keys.Authorize(now, test.token, test.header, test.query)
			if code, refused := codes[test.want]; refused {
				field := "Authorization"
				if code == trackway.Invalid {
					field = "projectToken"
				}
				// The error is compared as a whole, so it cannot contain a key
				// or a secret.
				want := &trackway.Error{Code: code, Field: field, Msg: test.want}
				if diff := cmp.Diff(want, err); diff != "" || grant.Project != nil || grant.Key != nil {
					t.Errorf("got %v; error (-want): %s", grant, diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if grant.Key.Name != test.want || private(grant) != test.private || grant.Project.Token != strings.ToLower(test.token) {
				t.Errorf("got %v of %s, want key %s (private: %v)", grant.Key.Name, grant.Project.Name, test.want, test.private)
			}
		})
	}
}

// TestAuthorizeAllocates checks that the usual case of a browser, a public key
// in the header, does not allocate.
func TestAuthorizeAllocates(t *testing.T) {
	keys := New(projects)
	if n := allocs.PerRun(100, func() {
		if _, err := keys.Authorize(now, demoToken, "Token public-key", ""); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

// FuzzAuthorize sends anything. The result must be a grant or one of the
// errors, and a private key requires its secret.
func FuzzAuthorize(f *testing.F) {
	keys := New(projects)
	f.Add("Token public-key", "")
	f.Add(basic("backend-id:"+secret), "")
	f.Add("Basic =", "public-key")
	f.Fuzz(func(t *testing.T, header, query string) {
		grant, err := keys.Authorize(now, demoToken, header, query)
		if (err == nil) == (grant.Key == nil) {
			t.Fatalf("got %v and %v", grant, err)
		}
		if err != nil || !private(grant) {
			return
		}
		_, credentials, _ := strings.Cut(header, " ")
		plain, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(credentials), "="))
		_, sent, _ := strings.Cut(string(plain), ":")
		if sha256.Sum256([]byte(sent)) != grant.Key.Secret {
			t.Fatalf("%q was let in as %s", header, grant.Key.Name)
		}
	})
}
