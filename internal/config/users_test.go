package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trackway/internal/people"
)

// installUsers writes both files of an installation with users.
func installUsers(t *testing.T, operators, users string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.yaml")
	write(t, path, minimal+operators, 0o600)
	data := filepath.Join(filepath.Dir(path), "trackway-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if users != "" {
		write(t, filepath.Join(data, ManagedFile), "version: 1\nkeys: []\nusers:\n"+users, 0o600)
	}
	return path
}

// Mistakes in the list of users are found, as is a configuration that would
// lock everybody out. No message shows what is kept of a password.
func TestUserProblems(t *testing.T) {
	t.Parallel()
	hash := people.Hash("a good password")
	admin := "  - {name: ada, password: \"" + hash + "\", roles: [admin]}\n"
	const only = "dashboard: {users_only: true}\n"
	for name, c := range map[string]struct{ operators, users, want string }{
		"right":            {"", admin, ""},
		"users only":       {only, admin, ""},
		"nobody":           {only, "", "t.yaml:2:25: dashboard.users_only true: must not be true while no user is an admin: make one first"},
		"no admin":         {only, strings.Replace(admin, "admin", "operator", 1), "must not be true while no user is an admin"},
		"no such role":     {"", strings.Replace(admin, "admin", "king", 1), "managed.yaml:4:5: users[0]: is no user: Field 'roles': expected viewer, analyst, operator or admin"},
		"no role":          {"", strings.Replace(admin, "[admin]", "[]", 1), "users[0]: is no user: Field 'roles': expected 1 to 100 roles"},
		"no name":          {"", strings.Replace(admin, "name: ada, ", "", 1), "users[0]: is no user: Field 'name': expected 1 to 64 small letters"},
		"twice":            {"", admin + admin, "users[1]: is no user: There is a user ada already."},
		"an open password": {"", "  - {name: ada, password: s3cr3t, roles: [admin]}\n", "users[0].password: must be what trackway user password writes"},
		"no password":      {"", "  - {name: ada, roles: [admin]}\n", "managed.yaml:4:5: users[0]: needs a password"},
		"weak parameters":  {"", strings.Replace(admin, "m=19456", "m=8", 1), "must be what trackway user password writes"},
		"password and users only": {
			"dashboard: {users_only: true, password: \"" + strong + "\"}\n", admin, "makes the password here have no effect",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, said := loads(t, installUsers(t, c.operators, c.users))
			if c.want == "" && (said != "" || cfg == nil || len(cfg.Users) != 1) || !strings.Contains(said, c.want) {
				t.Errorf("got %q, want %q", said, c.want)
			}
			if strings.Contains(said, "s3cr3t") || strings.Contains(said, "argon2") {
				t.Errorf("it shows what is kept of a password: %s", said)
			}
			if cfg != nil && strings.Contains(c.operators, "users_only") && cfg.Password != [32]byte{} {
				t.Error("the one password is still there")
			}
		})
	}
}

// A change of users keeps the keys, and is refused if it would lock everybody
// out.
func TestChangeUsers(t *testing.T) {
	t.Parallel()
	path := installUsers(t, "", "")
	change := func(do func(people.List) (people.List, error)) (*Config, error) {
		return ChangeKeys(path, Flags{}, func(k *Keys) error { return k.ChangeUsers(do) })
	}
	ada, err := people.NewUser("ada", people.Hash("a good password"), []string{"admin", "viewer:" + demoToken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ChangeKeys(path, Flags{}, func(k *Keys) error {
		_, _, err := k.Add("", "new", "public", nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cfg, err := change(func(l people.List) (people.List, error) { return l.Add(ada) })
	if err != nil || len(cfg.Users) != 1 || cfg.Users[0].Stamp() != ada.Stamp() {
		t.Fatal(cfg, err)
	}
	again, said := loads(t, path)
	if said != "" || again.Users[0].Stamp() != ada.Stamp() || len(again.Projects[0].Keys) != len(cfg.Projects[0].Keys) {
		t.Errorf("read again: %s %v", said, again)
	}
	write(t, path, minimal+"dashboard: {users_only: true}\n", 0o600)
	remove := func(l people.List) (people.List, error) { return l.Remove("ada") }
	if _, err := change(remove); err == nil || !strings.Contains(err.Error(), "while no user is an admin") {
		t.Errorf("the last admin: got %v", err)
	}
	write(t, path, minimal, 0o600)
	if cfg, err := change(remove); err != nil || len(cfg.Users) > 0 {
		t.Errorf("got %v %v", cfg, err)
	}
	wrong := errors.New("wrong")
	if _, err := change(func(people.List) (people.List, error) { return nil, wrong }); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "trackway-data", ManagedFile))
	if err != nil || strings.Contains(string(text), "users:") {
		t.Errorf("without users, an older version has to be able to read the file: %s", text)
	}
}

const (
	oidcHead = `issuer: "https://login.example.com/realms/a", client_id: trackway`
	oidcTail = "groups: [{group: chiefs, role: admin}]"
)

// TestProviderNeedsNoPassword checks that a provider is a way to sign in: no
// password is needed beside it, and none is in force then.
func TestProviderNeedsNoPassword(t *testing.T) {
	t.Parallel()
	cfg, said := loads(t, installUsers(t, "dashboard: {oidc: {"+oidcHead+", "+oidcTail+"}}\n", ""))
	if said != "" || cfg == nil || cfg.Password != [32]byte{} || cfg.Provider == nil || cfg.Provider.Groups[0].Roles[0] != "admin" {
		t.Errorf("got %q, %+v", said, cfg)
	}
}

// TestProviderAdminsDoNotCount checks that users_only needs an admin among the
// users, whatever the provider's groups: if the provider is down, it is the way
// in. So no list that is empty leaves the password open.
func TestProviderAdminsDoNotCount(t *testing.T) {
	t.Parallel()
	operators := "dashboard: {users_only: true, password: \"" + strong + "\", oidc: {" + oidcHead + ", " + oidcTail + "}}\n"
	if cfg, said := loads(t, installUsers(t, operators, "")); cfg != nil || !strings.Contains(said, "must not be true while no user is an admin") {
		t.Errorf("got %q", said)
	}
	admin := "  - {name: ada, password: \"" + people.Hash("a good password") + "\", roles: [admin]}\n"
	cfg, said := loads(t, installUsers(t, operators, admin))
	if cfg == nil || cfg.Password != [32]byte{} || !strings.Contains(said, "makes the password here have no effect") {
		t.Errorf("with an admin: got %q", said)
	}
}

// TestProviderProblems finds mistakes in the section of the provider.
func TestProviderProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{" + oidcHead + ", " + oidcTail + "}":                                              "",
		"{" + oidcTail + "}":                                                                "dashboard.oidc: needs issuer",
		"{issuer: \"http://login.example.com\", " + oidcTail + "}":                          "dashboard.oidc.issuer",
		"{issuer: \"http://127.0.0.1:9\", client_id: a, " + oidcTail + "}":                  "",
		"{issuer: \"https://a:s3cr3t@b\", " + oidcTail + "}":                                "dashboard.oidc.issuer: must be the URL of the provider",
		"{issuer: \"https://a?s3cr3t@b\", " + oidcTail + "}":                                "dashboard.oidc.issuer: must be the URL of the provider",
		"{issuer: \"https://a\", " + oidcTail + "}":                                         "needs client_id",
		"{" + oidcHead + ", client_id: \"a b\", " + oidcTail + "}":                          "client_id: is given twice",
		"{issuer: \"https://a\", client_id: \"a b\", " + oidcTail + "}":                     "client_id \"a b\": must be the id",
		"{" + oidcHead + "}":                                                                "needs groups",
		"{" + oidcHead + ", groups: []}":                                                    "needs groups",
		"{" + oidcHead + ", groups: [{role: admin}]}":                                       "groups[0]: needs a group",
		"{" + oidcHead + ", groups: [{group: \"\", role: admin}]}":                          "groups[0].group",
		"{" + oidcHead + ", groups: [{group: a}]}":                                          "groups[0]: needs a role",
		"{" + oidcHead + ", groups: [{group: a, role: king}]}":                              "must be viewer, analyst, operator or admin",
		"{" + oidcHead + ", groups: [{group: a, role: admin, projects: [demo]}]}":           "must be left out for an admin",
		"{" + oidcHead + ", groups: [{group: a, role: viewer, projects: [demo]}]}":          "",
		"{" + oidcHead + ", groups: [{group: a, role: viewer, projects: []}]}":              "must name a project",
		"{" + oidcHead + ", groups: [{group: a, role: viewer, projects: [x]}]}":             "groups[0].projects[0] \"x\": must be the name or the token of a project",
		"{" + oidcHead + ", " + oidcTail + ", name: \"\"}":                                  "must be the provider's name",
		"{" + oidcHead + ", " + oidcTail + ", scopes: [email]}":                             "must be a list of scopes with openid",
		"{" + oidcHead + ", " + oidcTail + ", scopes: [openid, \"a b\"]}":                   "must be a list of scopes with openid",
		"{" + oidcHead + ", " + oidcTail + ", groups_claim: a.b}":                           "",
		"{" + oidcHead + ", " + oidcTail + ", groups_claim: []}":                            "must be the name of a claim",
		"{" + oidcHead + ", " + oidcTail + ", groups_claim: [a, \"\"]}":                     "must be the name of a claim",
		"{" + oidcHead + ", " + oidcTail + ", groups_claim: {a: b}}":                        "must be the name of a claim",
		"{" + oidcHead + ", " + oidcTail + ", groups_claim: 7}":                             "must be the name of a claim",
		"{" + oidcHead + ", " + oidcTail + ", client_secret: s3cr3t, client_secret_env: X}": "needs at most one of client_secret",
	} {
		_, said := loads(t, installUsers(t, "dashboard: {oidc: "+text+"}\n", ""))
		if want == "" && said != "" || !strings.Contains(said, want) || strings.Contains(said, "s3cr3t") {
			t.Errorf("%s:\ngot %q, want %q", text, said, want)
		}
	}
	if _, said := loads(t, installUsers(t, "listen: 0.0.0.0:8080\ndashboard: {oidc: {"+oidcHead+", "+oidcTail+"}}\n", "")); !strings.Contains(said, "needs server: {url: …}") {
		t.Errorf("without a URL: got %q", said)
	}
}

// TestProviderPaths checks how the place of a claim is written.
func TestProviderPaths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"groups":                       {"groups"},
		"[realm_access, roles]":        {"realm_access", "roles"},
		`"https://example.com/roles"`:  {"https://example.com/roles"},
		`["https://example.com", a.b]`: {"https://example.com", "a.b"},
		"resource_access.trackway":     {"resource_access.trackway"},
	} {
		cfg, said := loads(t, installUsers(t, "dashboard: {oidc: {"+oidcHead+", "+oidcTail+", groups_claim: "+text+"}}\n", ""))
		if said != "" || cfg == nil || !slices.Equal(cfg.Provider.GroupsClaim, want) {
			t.Errorf("%s: got %q, %v", text, said, cfg)
		}
	}
}
