package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config/things"
)

// settingsOf returns settings as the admin API receives them.
func settingsOf(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// put puts a thing of a file in dir.
func put(t *testing.T, path, kind, name, text string) (*Config, error) {
	t.Helper()
	return ChangeKeys(path, Flags{}, func(k *Keys) error {
		_, err := k.Put(kind, name, settingsOf(t, text))
		return err
	})
}

const operated = minimal + `limits:
  - {name: track, paths: [/track/], limit: 7000, window: 60s}
overrides:
  - {policy: track, address: 203.0.113.7, limit: 1}
destinations:
  - {name: out, kind: webhook, url: "https://user:pw@example.com/", secret: whsec-abcdefghijkl}
`

func TestThings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	write(t, path, operated, 0o600)
	for _, c := range []struct{ kind, name, text string }{
		{things.Projects, "shop", `{"token": "22345678-1234-1234-1234-123456789ABC", "personal": ["email"]}`},
		{things.Limits, "reports", `{"paths": ["/data/"], "limit": 5, "window": "60s", "per": "key"}`},
		{things.Overrides, "partner", `{"policy": "reports", "project": "shop", "limit": 50, "until": "2099-01-01"}`},
		{things.Destinations, "hook", `{"kind": "webhook", "url": "https://user:hidden-1@example.com/", "secret": "hidden-2", "rename": {"a: b": "c"}, "projects": ["shop"], "batch": {"rows": 7}}`},
	} {
		cfg, err := put(t, path, c.kind, c.name, c.text)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		loaded, _, err := Load(path, Flags{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(cfg, loaded, cmp.Comparer(comparePrefixes)); diff != "" {
			t.Errorf("%s: (-change +load):\n%s", c.name, diff)
		}
	}
	cfg, err := LoadElsewhere(path, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if p := cfg.Projects[1]; p.Token != "22345678-1234-1234-1234-123456789abc" || cfg.Overrides[1].Project != p.Token || cfg.Destinations[1].Rename["a: b"] != "c" || cfg.Destinations[1].Rows != 7 {
		t.Errorf("got %+v", cfg)
	}
	keys, err := ReadKeys(path, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	var all []things.Thing
	for _, kind := range things.Kinds() {
		all = append(all, keys.Things(kind)...)
	}
	for i := range all {
		all[i].Whole = ""
		all[i].Place = strings.ReplaceAll(all[i].Place, dir, "")
	}
	want := []things.Thing{
		{Name: "demo", Place: "/t.yaml:1", Settings: map[string]any{"token": "12345678-1234-1234-1234-123456789abc"}},
		{Name: "shop", Managed: true, Settings: map[string]any{"token": "22345678-1234-1234-1234-123456789ABC", "personal": []any{"email"}}},
		{Name: "track", Place: "/t.yaml:3", Settings: map[string]any{"paths": []any{"/track/"}, "limit": json.Number("7000"), "window": "60s"}},
		{Name: "reports", Managed: true, Settings: map[string]any{"paths": []any{"/data/"}, "limit": json.Number("5"), "window": "60s", "per": "key"}},
		{Place: "/t.yaml:5", Settings: map[string]any{"policy": "track", "address": "203.0.113.7", "limit": json.Number("1")}},
		{Name: "partner", Managed: true, Settings: map[string]any{"policy": "reports", "project": "shop", "limit": json.Number("50"), "until": "2099-01-01"}},
		{Name: "out", Place: "/t.yaml:7", Secrets: []string{"url", "secret"}, Settings: map[string]any{"kind": "webhook"}},
		{Name: "hook", Managed: true, Secrets: []string{"url", "secret"}, Settings: map[string]any{
			"kind": "webhook", "rename": map[string]any{"a: b": "c"}, "projects": []any{"shop"}, "batch": map[string]any{"rows": json.Number("7")},
		}},
	}
	for i := range want {
		if want[i].Managed {
			want[i].Place = all[i].Place
		}
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(dir, "trackway-data", ManagedFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if _, err := ChangeKeys(path, Flags{}, func(k *Keys) error { _, _, err := k.Add("shop", "web", trackway.PublicKey, nil); return err }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{things.Destinations + "/hook", things.Overrides + "/partner", things.Limits + "/reports", things.Projects + "/shop"} {
		kind, name, _ := strings.Cut(name, "/")
		if _, err := ChangeKeys(path, Flags{}, func(k *Keys) error { return k.Delete(kind, name) }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "trackway-data", ManagedFile))
	if err != nil || strings.Contains(string(text), "shop") || strings.Contains(string(text), "web") {
		t.Errorf("something is left: %v\n%s", err, text)
	}
}

// A change that is refused says why, and changes nothing.
func TestThingsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ kind, name, text, want string }{
		"the operator's":     {things.Limits, "track", `{"paths": ["/x/"], "limit": 1, "window": "1s"}`, "track is in /t.yaml:3, which the program never changes. Remove it there first."},
		"no settings":        {things.Limits, "a", `{}`, "limits.a: needs paths"},
		"another name":       {things.Limits, "a", `{"name": "b"}`, "name: must be the name in the path"},
		"unknown setting":    {things.Limits, "a", `{"paths": ["/x/"], "limit": 1, "window": "1s", "x": 1}`, "limits.a.x: unknown key"},
		"wrong value":        {things.Limits, "a", `{"paths": ["/x/"], "limit": -1, "window": "1s"}`, "limits.a.limit -1: must be a whole number"},
		"a bad name":         {things.Limits, "a b", `{"paths": ["/x/"], "limit": 1, "window": "1s"}`, `name: must have 1 to 64`},
		"null":               {things.Limits, "a", `{"paths": null, "limit": 1, "window": "1s"}`, "limits.a.paths: has no value"},
		"unknown project":    {things.Overrides, "a", `{"policy": "track", "project": "nobody", "limit": 1}`, `overrides.a.project "nobody": is not the name of a project`},
		"a file":             {things.Destinations, "a", `{"kind": "webhook", "url_file": "/etc/shadow", "secret": "x"}`, "url_file: names a file"},
		"a file in a URL":    {things.Destinations, "a", `{"kind": "postgres", "url": "postgres://u@a.example/d?sslmode=disable&pass%66ile=/etc/shadow"}`, "url: must not have passfile,"},
		"a file in a text":   {things.Destinations, "a", `{"kind": "postgres", "url": "postgres:x=1 password='x'passfile \u000b= /etc/shadow"}`, "url: must not have passfile,"},
		"a file for Kafka":   {things.Destinations, "a", `{"kind": "kafka", "url": "kafka+tls://a.example:9093?c%61=/dev/zero"}`, "url: must not have ca,"},
		"a variable":         {things.Destinations, "a", `{"kind": "webhook", "url": "https://a.example", "secret_env": "HOME"}`, "secret_env: names a file"},
		"to the disk":        {things.Destinations, "a", `{"kind": "file", "path": "/etc"}`, "kind: must not be file"},
		"keys of a project":  {things.Projects, "a", `{"keys": [{"name": "a", "kind": "public", "token": "t"}]}`, "projects.a.keys: must not be here"},
		"a token that is it": {things.Projects, "a", `{"token": "12345678-1234-1234-1234-123456789abc"}`, `is projects[0].token`},
		"nested":             {things.Projects, "a", `{"retention": {"default": {"x": {}}}}`, "projects.a.retention.default: must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "t.yaml")
			write(t, path, operated, 0o600)
			_, err := put(t, path, c.kind, c.name, c.text)
			if got := strings.ReplaceAll(fmt.Sprint(err), dir, ""); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "trackway-data", ManagedFile)); err == nil {
				t.Error("the file was written")
			}
		})
	}
}

// A default limit can be replaced. A change that cannot be put in force is
// taken back.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	write(t, path, minimal, 0o600)
	cfg, err := put(t, path, things.Limits, "api", `{"paths": ["/api/"], "limit": 7, "window": "60s"}`)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(cfg.Policies, func(p trackway.Policy) bool { return p.Name == "api" }); len(cfg.Policies) != 4 || cfg.Policies[i].Limit != 7 {
		t.Errorf("got %+v", cfg.Policies)
	}
	broken := errors.New("broken")
	_, err = Change(path, Flags{}, func(k *Keys) error { return k.Delete(things.Limits, "api") }, func() error { return broken })
	after, readErr := LoadElsewhere(path, Flags{})
	if !errors.Is(err, broken) || readErr != nil || len(after.Policies) != 4 || !slices.ContainsFunc(after.Policies, func(p trackway.Policy) bool { return p.Limit == 7 }) {
		t.Errorf("got %v, %v, %+v", err, readErr, after)
	}
	keys, err := ReadKeys(path, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if got := keys.Thing(things.Limits, "signin"); got == nil || got.Place != "" || got.Settings["window"] != "1m0s" || got.Settings["limit"] != json.Number("5") {
		t.Errorf("got %+v", got)
	}
}

// A key of the server is no key of a project.
func TestServerKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	write(t, path, minimal+"admin_keys: [{name: ci, kind: private, id: ci-id, secret: "+strong+"}]\n", 0o600)
	cfg, err := ChangeKeys(path, Flags{}, func(k *Keys) error {
		_, _, err := k.Add(ServerKeys, "ops", trackway.PrivateKey, nil)
		return err
	})
	if err != nil || len(cfg.AdminKeys) != 2 || len(cfg.Projects[0].Keys) != 0 || cfg.AdminKeys[1].Name != "ops" {
		t.Fatalf("got %v, %+v", err, cfg)
	}
	cfg, err = ChangeKeys(path, Flags{}, func(k *Keys) error {
		_, err := k.Revoke(ServerKeys, "ci")
		return err
	})
	if err != nil || len(cfg.AdminKeys) != 1 {
		t.Fatalf("got %v, %+v", err, cfg)
	}
	for text, want := range map[string]string{
		"[{name: a, kind: public, token: " + strong + "}]":                       "must be private",
		"[{name: a, kind: private, id: a, secret: x, permissions: [admin]}]":     "is for keys of a project",
		"[{name: a, kind: private, id: a}]":                                      "needs exactly one of secret",
		"[{name: a, kind: private, id: a, secret: x}, {name: a, kind: private}]": "is admin_keys[0].name",
	} {
		if _, err := Parse("t.yaml", []byte(minimal+"admin_keys: "+text), Flags{}, env); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
