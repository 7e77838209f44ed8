package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/config/owned"
)

const (
	demoToken = "12345678-1234-1234-1234-123456789abc"
	shopToken = "12345678-1234-1234-1234-123456789abd"
)

// operators is an operator's file with two projects.
var operators = `# Ask Jane before you touch this.
data_dir: data
projects:
  - name: demo
    token: ` + strings.ToUpper(demoToken) + `
    keys:
      - {name: web, kind: public, token: public-token}
      - {name: back, kind: private, id: back-id, secret: s3cr3t-of-16-chars, permissions: ["events:get:a, b", gdpr]}
      - {name: old, kind: public, token: newer-token, previous_token: older-token, previous_until: 2100-01-01}
      - {name: env, kind: private, id: env-id, secret_env: TRACKWAY_TEST_ABSENT}
  - {name: shop, token: ` + shopToken + `}
`

// installation writes the two files, and returns the path of the operator's. If
// managed is empty, it writes no managed file.
func installation(t testing.TB, operators, managed string) (path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "t.yaml")
	if err := os.WriteFile(path, []byte(operators), 0o600); err != nil {
		t.Fatal(err)
	}
	if managed == "" {
		return path
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", ManagedFile), []byte(managed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loads loads an installation whose environment has all variables.
func loads(t testing.TB, path string) (*Config, string) {
	t.Helper()
	d, err := load(path, Flags{}, elsewhere, owned.Read, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := d.result()
	var said strings.Builder
	if err != nil {
		said.WriteString(err.Error())
	}
	for _, w := range d.Warnings {
		said.WriteString("warning: " + w.String() + "\n")
	}
	return cfg, strings.ReplaceAll(said.String(), filepath.Dir(path)+"/", "")
}

// Mistakes in the managed file, or in both together, are reported with their
// places in both, and without secrets.
func TestManagedProblems(t *testing.T) {
	t.Parallel()
	key := func(rest string) string {
		return "version: 1\nkeys:\n  - {project: " + demoToken + ", name: new, " + rest + "}\n"
	}
	sum := string(digestOf("s3cr3t"))
	for name, c := range map[string]struct{ operators, managed, want string }{
		"none":        {"", "", ""},
		"right":       {"", key("kind: public, token: new-token"), ""},
		"nothing":     {"", "version: 1\n", ""},
		"empty":       {"", "\n", "data/managed.yaml: needs version: 1"},
		"no version":  {"", "keys: []\n", "data/managed.yaml:1:1: needs version: 1"},
		"a later one": {"", "version: 2\nsecrets: [s3cr3t]\n", "data/managed.yaml:1:10: version 2: must be 1: this version of the program reads only that"},
		"no YAML":     {"", "version: [1\n", "data/managed.yaml:1:10: not YAML: sequence end token ']' not found"},
		"unknown":     {"", "version: 1\ngroups: []\n", "data/managed.yaml:2:1: groups: unknown key; known here: version, keys, revoked, users"},
		"a key's":     {"", key("kind: public, token: new-token, secret_sha256: " + sum), "data/managed.yaml:3:111: keys[0].secret_sha256: belongs to a private key; a public one has a token only"},
		"no token":    {"", key("kind: public"), "data/managed.yaml:3:5: keys[0]: needs a token"},
		"no project":  {"", "version: 1\nkeys: [{name: a, kind: public, token: new-token}]\n", "data/managed.yaml:2:8: keys[0]: needs a project: its token"},
		"name in both": {
			"", strings.Replace(key("kind: public, token: new-token"), "new,", "web,", 1),
			`data/managed.yaml:3:59: keys[0].name "web": is projects[0].keys[0].name (line 7 of t.yaml) already`,
		},
		"name of another project": {"", strings.Replace(strings.Replace(key("kind: public, token: new-token"), "new,", "web,", 1), demoToken, shopToken, 1), ""},
		"token in both":           {"", key("kind: public, token: public-token"), "data/managed.yaml:3:85: keys[0].token: is projects[0].keys[0].token (line 7 of t.yaml) already"},
		"id in both":              {"", key("kind: private, id: back-id, secret_sha256: " + sum), `data/managed.yaml:3:83: keys[0].id "back-id": is projects[0].keys[1].id (line 8 of t.yaml) already`},
		"previous token in both": {
			"", key("kind: public, token: new-token, previous_token: public-token, previous_until: 2026-11-23"),
			"data/managed.yaml:3:112: keys[0].previous_token: is projects[0].keys[0].token (line 7 of t.yaml) already",
		},
		"project is gone": {
			"", strings.Replace(key("kind: public, token: new-token"), demoToken, strings.Replace(demoToken, "1", "2", 1), 1),
			"warning: data/managed.yaml:3:15: keys[0].project \"22345678-1234-1234-1234-123456789abc\": is the token of no project: the key lets nobody in\n",
		},
		"revoked": {
			"", "version: 1\nrevoked: [public-token, of-a-line-that-was-removed]\n",
			"warning: t.yaml:7:9: projects[0].keys[0]: has no effect: `trackway key` has revoked or rotated this key; you may remove the line\n",
		},
		"revoked and turned by hand": {
			strings.Replace(operators, "token: public-token", "token: made-by-hand, previous_token: public-token, previous_until: 2026-11-23", 1),
			"version: 1\nrevoked: [public-token]\n",
			"t.yaml:7:72: projects[0].keys[0].previous_token: is revoked: it is revoked[0] (line 2 of data/managed.yaml)",
		},
		"override of a managed key": {operators + "overrides: [{policy: track, key: new, limit: 1}]\n", key("kind: public, token: new-token"), ""},
		"override of a revoked key": {
			operators + "overrides: [{policy: track, key: web, limit: 1}]\n", "version: 1\nrevoked: [public-token]\n",
			`t.yaml:12:34: overrides[0].key "web": is not the name of a key` +
				"warning: t.yaml:7:9: projects[0].keys[0]: has no effect: `trackway key` has revoked or rotated this key; you may remove the line\n",
		},
		"both are wrong": {
			"listen: x\n" + operators, "version: 1\nkeys: x\n",
			"data/managed.yaml:2:7: keys: must be a list, such as [a, b]\n" + `t.yaml:1:9: listen "x": must be host:port, such as 127.0.0.1:8080`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := loads(t, installation(t, cmp.Or(c.operators, operators), c.managed))
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Error("(-want +got):\n" + diff)
			}
			if strings.Contains(got, "s3cr3t") || strings.Contains(got, "public-token:") {
				t.Errorf("a secret is shown: %s", got)
			}
		})
	}
}

// A managed file that everybody may use is refused. One that its group may use,
// as on some volumes, leads to a warning.
func TestManagedMode(t *testing.T) {
	t.Parallel()
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o400: "",
		0o640: "warning: data/managed.yaml: others may read or write it (mode 0640): chmod 600\n",
		0o604: "data/managed.yaml: others may read or write it (mode 0604): chmod 600",
		0o602: "data/managed.yaml: others may read or write it (mode 0602): chmod 600",
	} {
		path := installation(t, "data_dir: data\n"+minimal, "version: 1\n")
		if err := os.Chmod(filepath.Join(filepath.Dir(path), "data", ManagedFile), mode); err != nil {
			t.Fatal(err)
		}
		if _, got := loads(t, path); got != want {
			t.Errorf("mode %v: got %q, want %q", mode, got, want)
		}
	}
	path := installation(t, "data_dir: data\n"+minimal, "")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(path), "data", ManagedFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, got := loads(t, path); !strings.HasPrefix(got, "data/managed.yaml: cannot be read: ") {
		t.Errorf("a directory in its place: got %q", got)
	}
}

// Anything but a regular file is refused. After a dangling link, revoked keys
// would be in force again; the next change would replace a link to a file; a
// pipe would block its reader.
func TestManagedIsNoFile(t *testing.T) {
	t.Parallel()
	for what, place := range map[string]func(path string) error{
		"a link to nothing": func(path string) error { return os.Symlink(path+".absent", path) },
		"a link to a file": func(path string) error {
			return errors.Join(os.WriteFile(path+".real", []byte("version: 1\n"), 0o600), os.Symlink(path+".real", path))
		},
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		path := installation(t, "data_dir: data\n"+minimal, "")
		data := filepath.Join(filepath.Dir(path), "data")
		if err := errors.Join(os.MkdirAll(data, 0o700), place(filepath.Join(data, ManagedFile))); err != nil {
			t.Fatal(err)
		}
		const want = "data/managed.yaml: cannot be read: it is not a regular file"
		if _, got := loads(t, path); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
		_, err := ChangeKeys(path, Flags{}, func(*Keys) error { return nil })
		if err == nil {
			t.Errorf("%s: a change replaces it", what)
		}
	}
}

// model is what the keys should do. It maps what a client presents (with the
// secret, for a private key) to the name of the key that it lets in.
type model map[credential]string

type credential struct{ presented, secret string }

// grants returns which of the given credentials a configuration lets in.
func grants(cfg *Config, tried []credential, now time.Time) model {
	in := make(model)
	for _, p := range cfg.Projects {
		for _, k := range p.Keys {
			for _, c := range tried {
				sum := sha256.Sum256([]byte(c.secret))
				previous := now.Before(k.PreviousUntil)
				switch {
				case k.Kind == trackway.PublicKey && (k.ID == c.presented || previous && k.PreviousID == c.presented),
					k.Kind == trackway.PrivateKey && k.ID == c.presented && (k.Secret == sum || previous && k.PreviousSecret == sum):
					in[c] = p.Name + "/" + k.Name
				}
			}
		}
	}
	return in
}

// After any changes to keys of either file, exactly the right credentials are
// let in. The operator's file does not change, and the managed file contains no
// secret.
func TestChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		path := installation(t, operators, "")
		now := time.Now()
		tried := []credential{{"public-token", ""}, {"back-id", "s3cr3t-of-16-chars"}, {"newer-token", ""}, {"older-token", ""}}
		previous := map[string]credential{"demo/old": tried[3]} // by key: what else works
		current := map[string]credential{"demo/web": tried[0], "demo/back": tried[1], "demo/old": tried[2]}
		var want model
		for i := range rapid.IntRange(1, 4).Draw(rt, "changes") {
			var names []string
			for name := range current {
				names = append(names, name)
			}
			action := "add"
			if len(names) > 0 {
				action = rapid.SampledFrom([]string{"add", "rotate", "end", "revoke"}).Draw(rt, "action")
			}
			slices.Sort(names)
			cfg, err := ChangeKeys(path, Flags{}, func(k *Keys) error {
				if action == "add" {
					project := rapid.SampledFrom([]string{"demo", shopToken}).Draw(rt, "project")
					kind := rapid.SampledFrom([]trackway.KeyKind{trackway.PublicKey, trackway.PrivateKey}).Draw(rt, "kind")
					name := rapid.SampledFrom([]string{"k%d", "1e%d", "0x%d", "%d"}).Draw(rt, "name")
					name = fmt.Sprintf(name, i)
					id, secret, err := k.Add(project, name, kind, nil)
					known := strings.Replace(project, shopToken, "shop", 1) + "/" + name
					current[known] = credential{id, secret}
					return err
				}
				known := rapid.SampledFrom(names).Draw(rt, "key")
				project, name, _ := strings.Cut(known, "/")
				if action == "revoke" {
					delete(current, known)
					delete(previous, known)
					_, err := k.Revoke(project, name)
					return err
				}
				until := now.Add(time.Hour)
				previous[known] = current[known]
				if action == "end" {
					until = now
					delete(previous, known)
				}
				kind, made, _, err := k.Rotate(project, name, until)
				if kind == trackway.PublicKey {
					current[known] = credential{made, ""}
				} else {
					current[known] = credential{current[known].presented, made}
				}
				return err
			})
			if err != nil {
				rt.Fatalf("%s: %v", action, err)
			}
			want = make(model)
			for _, m := range []map[string]credential{previous, current} {
				for name, c := range m {
					want[c], tried = name, append(tried, c)
				}
			}
			if diff := gocmp.Diff(want, grants(cfg, tried, now)); diff != "" {
				rt.Fatalf("%s (-want +got):\n%s", action, diff)
			}
		}
		cfg, said := loads(t, path)
		if cfg == nil {
			rt.Fatal(said)
		}
		if diff := gocmp.Diff(want, grants(cfg, tried, now)); diff != "" {
			rt.Fatalf("loaded (-want +got):\n%s", diff)
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "data", ManagedFile))
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range tried {
			if c.secret != "" && strings.Contains(string(text), c.secret) {
				rt.Errorf("the secret %s is in\n%s", c.secret, text)
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != operators {
			rt.Errorf("the operator's file was changed (%v):\n%s", err, after)
		}
	})
}

// Concurrent changes of keys do not undo each other.
func TestChangeAtOnce(t *testing.T) {
	t.Parallel()
	path := installation(t, operators, "")
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := ChangeKeys(path, Flags{}, func(k *Keys) error {
				_, _, err := k.Add("shop", fmt.Sprint("k", i), trackway.PublicKey, nil)
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	cfg, said := loads(t, path)
	if cfg == nil {
		t.Fatal(said)
	}
	if got := len(cfg.Projects[1].Keys); got != n {
		t.Errorf("got %d keys, want %d", got, n)
	}
}

// A refused change leaves no trace. The error gives the reason, but not the
// place in a text that the user never sees.
func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	path := installation(t, operators+"overrides: [{policy: track, key: web, limit: 1}]\n", "")
	for want, change := range map[string]func(*Keys) error{
		`project "demo" has a key "web" already`: func(k *Keys) error {
			_, _, err := k.Add("demo", "web", trackway.PublicKey, nil)
			return err
		},
		`keys[0].permissions[0] "admin": is for private keys: everybody can see a public key, so it may only have customers:set and events:set`: func(k *Keys) error {
			_, _, err := k.Add(strings.ToUpper(shopToken), "x", trackway.PublicKey, []string{"admin"})
			return err
		},
		path + `:12:34: overrides[0].key "web": is not the name of a key`: func(k *Keys) error {
			_, err := k.Revoke("demo", "web")
			return err
		},
		errElsewhere.Error(): func(k *Keys) error {
			_, _, _, err := k.Rotate("demo", "env", time.Now())
			return err
		},
		`there are several projects: choose one of demo, shop`: func(k *Keys) error {
			_, err := k.Revoke("", "web")
			return err
		},
		`there is no project "moon"; there are: demo, shop`: func(k *Keys) error {
			_, err := k.Revoke("moon", "web")
			return err
		},
		`project "demo" has no key "x"; it has: web, back, old, env`: func(k *Keys) error {
			_, err := k.Revoke("demo", "x")
			return err
		},
		`project "shop" has no keys`: func(k *Keys) error {
			_, err := k.Revoke("shop", "x")
			return err
		},
	} {
		if _, err := ChangeKeys(path, Flags{}, change); fmt.Sprint(err) != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "data", ManagedFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that no managed file was made", err)
	}
}

// A revoked key stays revoked if the operator puts an old file back.
func TestOldFile(t *testing.T) {
	t.Parallel()
	path := installation(t, operators, "")
	for _, change := range []func(*Keys) error{
		func(k *Keys) error { _, err := k.Revoke("demo", "back"); return err },
		func(k *Keys) error { _, _, _, err := k.Rotate("demo", "web", time.Now()); return err },
		func(k *Keys) error { _, err := k.Revoke("demo", "web"); return err },
		func(k *Keys) error { _, err := k.Revoke("demo", "old"); return err },
	} {
		if _, err := ChangeKeys(path, Flags{}, change); err != nil {
			t.Fatal(err)
		}
	}
	old := strings.Replace(operators, "token: newer-token, previous_token: older-token, previous_until: 2100-01-01", "token: older-token", 1)
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, said := loads(t, path)
	if cfg == nil {
		t.Fatal(said)
	}
	if keys := cfg.Projects[0].Keys; len(keys) != 1 || keys[0].Name != "env" {
		t.Errorf("got %+v, want key env alone", keys)
	}
}

// If a check finds something missing, its place is in the operator's file,
// whatever the managed file contains.
func TestCheckBesideManaged(t *testing.T) {
	t.Parallel()
	path := installation(t, operators, "\n\n\nversion: 1\n")
	check := func(*Config) []Problem { return []Problem{{Field: "limits[0].limit", Msg: "is wrong"}} }
	for range 20 { // the order of a map is random
		_, err := LoadElsewhere(path, Flags{}, check)
		if want := path + ":2:1: limits[0].limit: is wrong"; fmt.Sprint(err) != want {
			t.Fatalf("got %v, want %s", err, want)
		}
	}
}

// Keys of a project that the operator's file no longer has are listed and can
// be revoked. They are in force again when the project comes back.
func TestProjectGone(t *testing.T) {
	t.Parallel()
	path := installation(t, operators, "")
	change := func(do func(*Keys) error) {
		t.Helper()
		if _, err := ChangeKeys(path, Flags{}, do); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		change(func(k *Keys) error {
			_, _, err := k.Add("shop", name, trackway.PublicKey, nil)
			return err
		})
	}
	without := operators[:strings.Index(operators, "  - {name: shop")]
	for _, text := range []string{without, operators} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text == operators {
			break
		}
		keys, err := ReadKeys(path, Flags{})
		if err != nil {
			t.Fatal(err)
		}
		list := keys.List()
		if last := list[len(list)-1]; last.Name != "b" || last.Project != shopToken || filepath.Base(last.File) != ManagedFile {
			t.Errorf("got %+v, want key b of %s", last, shopToken)
		}
		_, err = ChangeKeys(path, Flags{}, func(k *Keys) error {
			_, _, err := k.Add(shopToken, "c", trackway.PublicKey, nil)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "the configuration has no project") {
			t.Errorf("a new key of a project that is gone: got %v", err)
		}
		change(func(k *Keys) error {
			_, err := k.Revoke(shopToken, "a")
			return err
		})
	}
	cfg, said := loads(t, path)
	if cfg == nil {
		t.Fatal(said)
	}
	if keys := cfg.Projects[1].Keys; len(keys) != 1 || keys[0].Name != "b" {
		t.Errorf("got %+v, want key b", keys)
	}
}

// Everything in a managed file is read as it was written.
func TestManagedRoundTrip(t *testing.T) {
	t.Parallel()
	texts := []string{"", "1", "1e5", "0x1F", "010", "1_000", "2026-11-22", "true", "No", "~", "null", ".inf", "-", "- a", "a: b", " a ", "#", "a #b", "é\u2028", "'", `"`, "{", "a\nb", "\t", "!x", "&a", "*a", "|", "%"}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom(texts), rapid.String(), rapid.StringMatching("[0-9a-f]{64}|[0-9]{60}e[0-9]{3}"))
		secret := rapid.Custom(func(t *rapid.T) hidden { return hidden(text.Draw(t, "secret")) })
		want := managed{Revoked: rapid.SliceOf(secret).Draw(t, "revoked")}
		for range rapid.IntRange(0, 3).Draw(t, "keys") {
			want.Keys = append(want.Keys, managedKey{Project: text.Draw(t, "project"), Key: key{
				Name: text.Draw(t, "name"), Kind: trackway.KeyKind(text.Draw(t, "kind")), ID: text.Draw(t, "id"),
				Token: secret.Draw(t, "token"), SecretSHA256: secret.Draw(t, "digest"),
				PreviousUntil: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "until"), 0).UTC(),
				Permissions:   rapid.SliceOf(text).Draw(t, "permissions"),
			}})
		}
		encoded := want.encode()
		var got managed
		want.Version = managedVersion
		d := newDoc("t.yaml", elsewhere)
		if !d.Read(encoded, &got, "") || len(d.Problems) > 0 {
			t.Fatalf("%v in\n%s", d.Problems, encoded)
		}
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, encoded)
		}
	})
}

// One flipped bit anywhere in a managed file is noticed, or changes no key.
func TestManagedDamage(t *testing.T) {
	t.Parallel()
	m := managed{
		Keys:    []managedKey{{Project: shopToken, Key: key{Name: "app", Kind: trackway.PublicKey, Token: "new-token", Permissions: []string{"events:set:x"}}}},
		Revoked: []hidden{"public-token"},
	}
	read := func(text []byte) ([]trackway.Project, error) {
		d := newDoc("t.yaml", elsewhere)
		d.readFile([]byte(operators), Flags{})
		d.readManaged(func(string) ([]byte, fs.FileMode, error) { return text, 0o600, nil })
		d.translate(nil)
		cfg, err := d.result()
		if err != nil {
			return nil, err
		}
		return cfg.Projects, nil
	}
	text := m.encode()
	want, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	for bit := 0; bit < 8*len(text); bit += 7 { // meets each byte
		flipped := slices.Clone(text)
		flipped[bit/8] ^= 1 << (bit % 8)
		if got, err := read(flipped); err == nil && !gocmp.Equal(want, got) {
			t.Fatalf("bit %d: not noticed in\n%s", bit, flipped)
		}
	}
}

// FuzzManaged puts anything into the managed file. The program must read it or
// say what is wrong, without control characters.
func FuzzManaged(f *testing.F) {
	f.Add([]byte("version: 1\nkeys: [{project: " + demoToken + ", name: a, kind: public, token: new-token}]\nrevoked: [public-token]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d := newDoc("t.yaml", elsewhere)
		if !d.readFile([]byte(operators), Flags{}) {
			t.Fatal("the operator's file cannot be read")
		}
		d.readManaged(func(string) ([]byte, fs.FileMode, error) { return text, 0o600, nil })
		d.translate(nil)
		cfg, err := d.result()
		if (cfg == nil) == (err == nil) {
			t.Fatalf("got %v and %v", cfg, err)
		}
		for _, p := range append(d.Problems, d.Warnings...) {
			if p.Msg == "" || strings.ContainsFunc(p.String(), func(c rune) bool { return c < ' ' }) {
				t.Errorf("got %q", p.String())
			}
		}
	})
}

// A file that root writes belongs to the owner of the data directory, whose
// server must read it.
func TestManagedOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const nobody = 65534
	path := installation(t, operators, "version: 1\n")
	dir := filepath.Join(filepath.Dir(path), "data")
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if _, err := ChangeKeys(path, Flags{}, func(k *Keys) error {
		_, _, err := k.Add("shop", "a", trackway.PublicKey, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var owner syscall.Stat_t
	if err := syscall.Stat(filepath.Join(dir, ManagedFile), &owner); err != nil || owner.Uid != nobody || owner.Gid != nobody {
		t.Errorf("got %d:%d, %v, want %d:%d", owner.Uid, owner.Gid, err, nobody, nobody)
	}
}
