package doctor

import (
	"slices"
	"strings"
	"testing"

	"trackway/internal/people"
	"trackway/internal/people/openid"
	"trackway/internal/people/openid/openidtest"
)

// about returns the findings of a check.
func about(findings []Finding, check string) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Check != check })
}

func TestUsers(t *testing.T) {
	t.Parallel()
	admin, viewer := people.User{Name: "ada", All: people.Admin}, people.User{Name: "vic", All: people.Viewer}
	for what, c := range map[string]struct {
		password, provider bool
		users              people.List
		level              Level
		want               string
	}{
		"nobody":                  {false, false, nil, OK, "nobody can sign in"},
		"a password":              {true, false, nil, OK, "everybody signs in with the one password"},
		"users":                   {false, false, people.List{admin, viewer}, OK, "users: 2, admins among them: 1"},
		"users and a password":    {true, false, people.List{admin}, Warn, "the one password still lets in"},
		"no admin":                {true, false, people.List{viewer}, Warn, "users can only be managed with the one password"},
		"no admin, no password":   {false, false, people.List{viewer}, Warn, "nobody can manage the users"},
		"a provider alone":        {false, true, nil, Warn, "while the provider is down, no admin gets in"},
		"a provider and an admin": {false, true, people.List{admin}, OK, "users: 1"},
	} {
		e, _ := well(t)
		e.Config.Users = c.users
		if c.password {
			e.Config.Password[0] = 1
		}
		if c.provider {
			e.Config.Provider = &openid.Settings{Issuer: "http://127.0.0.1:1"}
		}
		got := about(Examine(t.Context(), e), "users")
		if len(got) != 1 || got[0].Level != c.level || !strings.Contains(got[0].Found, c.want) || (got[0].Advice == "") != (c.level == OK) {
			t.Errorf("%s: got %+v, want %s %s", what, got, c.level, c.want)
		}
	}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	m, err := openidtest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Server.Close() })
	for what, c := range map[string]struct {
		change       func(*Env, *openid.Settings)
		level        Level
		want, advice string
	}{
		"good":                              {func(*Env, *openid.Settings) {}, OK, "Login Inc. accepts the client, and sends browsers back to http://127.0.0.1:8080/grid/oidc/callback", ""},
		"with a URL":                        {func(e *Env, _ *openid.Settings) { e.Config.Server.URL = "https://ts1.example.com/" }, OK, "back to https://ts1.example.com/grid/oidc/callback", ""},
		"without HTTPS":                     {func(e *Env, _ *openid.Settings) { e.Config.Server.URL = "http://ts1.example.com" }, Warn, "it is not https", "set server: {url: https://…}"},
		"another secret":                    {func(_ *Env, s *openid.Settings) { s.ClientSecret = "s3cr3t" }, Fail, "does not accept the client " + m.ClientID, "client_secret"},
		"a secret that only the server has": {func(e *Env, s *openid.Settings) { s.ClientSecret, e.Partly = "s3cr3t", true }, Warn, "needs the secret", "as the server's user"},
		"another issuer":                    {func(_ *Env, s *openid.Settings) { s.Issuer += "/" }, Fail, "the issuer must be written as there", "openid-configuration"},
		"no provider":                       {func(_ *Env, s *openid.Settings) { s.Issuer = "http://127.0.0.1:1" }, Fail, "connection refused", "openid-configuration"},
		"a scope":                           {func(_ *Env, s *openid.Settings) { s.Scopes = append(s.Scopes, "roles") }, Fail, "refuses to begin a sign-in", "register this URL at the provider: http://127.0.0.1:8080/grid/oidc/callback"},
	} {
		e, _ := well(t)
		s := openid.Settings{Issuer: m.Issuer(), ClientID: m.ClientID, ClientSecret: m.ClientSecret, Name: "Login Inc.", Scopes: []string{"openid"}}
		c.change(&e, &s)
		e.Config.Provider = &s
		got := about(Examine(t.Context(), e), "provider")
		if len(got) == 0 || got[0].Level != c.level || !strings.Contains(got[0].Found, c.want) || !strings.Contains(got[0].Advice, c.advice) {
			t.Errorf("%s: got %+v", what, got)
		}
		for _, f := range got {
			if strings.Contains(f.Found+f.Advice, "s3cr3t") || strings.Contains(f.Found+f.Advice, m.ClientSecret) {
				t.Errorf("%s: it shows the secret: %+v", what, f)
			}
		}
	}
}
