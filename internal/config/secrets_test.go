package config

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"trackway/internal/config/owned"
	"trackway/internal/config/secret"
	"trackway/internal/config/setting"
)

// strong is a secret that leads to no warning.
const strong = "k7Qz-19fLmA0xRw3"

// secrets has a configuration for each secret, with %s for one of its forms,
// and says where its value arrives.
var secrets = map[string]struct {
	text   string
	got    func(*Config) any
	hashed bool
}{
	"projects[].keys[].secret": {
		"projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc, keys: [{name: a, kind: private, id: a, %s}]}]\n",
		func(c *Config) any { return c.Projects[0].Keys[0].Secret }, true,
	},
	"admin_keys[].secret": {
		minimal + "admin_keys: [{name: a, kind: private, id: a, %s}]\n", func(c *Config) any { return c.AdminKeys[0].Secret }, true,
	},
	"dashboard.password": {minimal + "dashboard: {%s}\n", func(c *Config) any { return c.Password }, true},
	"dashboard.oidc.client_secret": {
		minimal + "dashboard: {oidc: {issuer: \"https://login.example.com\", client_id: t, groups: [{group: g, role: viewer}], %s}}\n",
		func(c *Config) any { return c.Provider.ClientSecret }, false,
	},
	"cluster.kafka.url": {
		minimal + "cluster: {name: eu, listen: \"127.0.0.1:1\", log: kafka, kafka: {%s}}\n", func(c *Config) any { return c.Cluster.Kafka.URL }, false,
	},
	"cluster.kafka.password": {
		minimal + "cluster: {name: eu, listen: \"127.0.0.1:1\", log: kafka, kafka: {url: \"kafka://k\", user: u, %s}}\n",
		func(c *Config) any { return c.Cluster.Kafka.Password }, false,
	},
	"destinations[].url": {
		minimal + "destinations: [{name: d, kind: postgres, %s}]\n", func(c *Config) any { return c.Destinations[0].URL }, false,
	},
	"destinations[].password": {
		minimal + "destinations: [{name: d, kind: kafka, url: \"k:1\", %s}]\n", func(c *Config) any { return c.Destinations[0].Password }, false,
	},
	"destinations[].secret": {
		minimal + "destinations: [{name: d, kind: webhook, url: \"https://x\", %s}]\n", func(c *Config) any { return c.Destinations[0].Secret }, false,
	},
	"traces.headers[].value": {
		minimal + "traces: {endpoint: \"https://c\", headers: [{name: authorization, %s}]}\n", func(c *Config) any { return c.Traces.Headers["authorization"] }, false,
	},
	"alarms.receivers[].url": {
		minimal + "alarms: {receivers: [{name: r, kind: slack, %s}]}\n", func(c *Config) any { return c.Alarms.Receivers[0].URL }, false,
	},
	"alarms.receivers[].secret": {
		minimal + "alarms: {receivers: [{name: r, kind: webhook, url: \"https://x\", %s}]}\n", func(c *Config) any { return c.Alarms.Receivers[0].Secret }, false,
	},
	"alarms.receivers[].password": {
		minimal + "alarms: {receivers: [{name: r, kind: mail, server: \"m:25\", from: a@b.c, to: [a@b.c], user: u, %s}]}\n",
		func(c *Config) any { return c.Alarms.Receivers[0].Password }, false,
	},
}

// notSecret are settings of type hidden that are no secrets: what clients that
// anybody can read present, and digests of long random texts.
var notSecret = []string{"token", "previous_token", "previous_secret_sha256"}

// suspicious matches the keys of settings that are probably secrets.
var suspicious = regexp.MustCompile(`secret|password|passphrase|credential|private|api_?key|access_?key`)

// TestEverySecretHasForms checks that each secret of the configuration can be
// given by an environment variable and by a file. A new secret needs these
// forms, and an entry in secrets.
func TestEverySecretHasForms(t *testing.T) {
	t.Parallel()
	found := make(map[string]bool)
	var walk func(v reflect.Type, path string)
	walk = func(v reflect.Type, path string) {
		switch v.Kind() {
		case reflect.Slice:
			walk(v.Elem(), path+"[]")
			return
		case reflect.Struct:
		default:
			return
		}
		kinds := make(map[string]reflect.Type)
		fields := setting.Fields(reflect.New(v).Elem())
		for _, f := range fields {
			kinds[f.Key] = f.Value.Type()
		}
		for _, f := range fields {
			at := setting.Join(path, f.Key)
			form := regexp.MustCompile(`_(env|file|sha256)$`).ReplaceAllString(f.Key, "")
			switch isHidden := f.Value.Type() == reflect.TypeFor[hidden](); {
			case isHidden && slices.Contains(notSecret, f.Key), kinds[form] != nil && form != f.Key && isHidden:
			case isHidden:
				found[at] = true
				for _, form := range []string{f.Key + "_env", f.Key + "_file"} {
					if kinds[form] != reflect.TypeFor[hidden]() {
						t.Errorf("%s has no form %s", at, form)
					}
				}
				if _, ok := secrets[at]; !ok {
					t.Errorf("%s is not tested: add it to secrets", at)
				}
			case f.Value.Kind() == reflect.String && suspicious.MatchString(f.Key):
				t.Errorf("%s is shown in messages: make it hidden, and give it all forms", at)
			default:
				walk(f.Value.Type(), at)
			}
		}
	}
	walk(reflect.TypeFor[file](), "")
	for at := range secrets {
		if !found[at] {
			t.Errorf("%s is not a secret of the configuration", at)
		}
	}
}

// loadText reads a configuration with real files and a given environment.
func loadText(t *testing.T, text string, environ ...string) (*Config, []Problem, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadFile(path, Flags{}, environ...)
}

func loadFile(path string, flags Flags, environ ...string) (*Config, []Problem, error) {
	lookup := func(name string) (string, bool) {
		for _, v := range environ {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
	d, err := load(path, flags, surroundings{lookup, secret.Read, func() []string { return environ }}, owned.Read, nil)
	if err != nil {
		return nil, nil, err
	}
	d.warnOfUnknown()
	cfg, err := d.result()
	return cfg, d.Warnings, err
}

// Each form of each secret leads to the same value.
func TestFormsOfSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plain"), strong, 0o640)
	write(t, filepath.Join(dir, "line"), strong+"\n", 0o400)
	write(t, filepath.Join(dir, "dos line"), strong+"\r\n", 0o600)
	if err := os.Symlink("line", filepath.Join(dir, "link")); err != nil { // as Kubernetes has them
		t.Fatal(err)
	}
	for at, s := range secrets {
		name := at[strings.LastIndexByte(at, '.')+1:]
		for _, form := range []string{
			name + ": " + strong, name + "_env: GIVEN", name + "_file: " + filepath.Join(dir, "plain"), name + "_file: " + filepath.Join(dir, "line"),
			name + "_file: \"" + filepath.Join(dir, "dos line") + `"`, name + "_file: " + filepath.Join(dir, "link"), name + "_file: $CREDENTIALS_DIRECTORY/line",
		} {
			cfg, warnings, err := loadText(t, fmt.Sprintf(s.text, form), "GIVEN="+strong, "CREDENTIALS_DIRECTORY="+dir)
			if err != nil || len(warnings) > 0 {
				t.Errorf("%s, %s: got %v, %v", at, form, warnings, err)
				continue
			}
			want := any(strong)
			if s.hashed {
				want = sha256.Sum256([]byte(strong))
			}
			if got := s.got(cfg); got != want {
				t.Errorf("%s, %s: got %v, want %v", at, form, got, want)
			}
		}
	}
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A file that gives no secret is refused with its name and that of the setting,
// and nothing of its content. A path starts at the folder of the configuration.
func TestWrongSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "s")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	const content = "s3cr3t-s3cr3t"
	write(t, filepath.Join(folder, "empty"), "", 0o600)
	write(t, filepath.Join(folder, "line"), "\n", 0o600)
	write(t, filepath.Join(folder, "large"), strings.Repeat(content, secret.MaxFileBytes/len(content)+1), 0o600)
	write(t, filepath.Join(folder, "binary"), content+"\xff", 0o600)
	write(t, filepath.Join(folder, "open"), content+strong, 0o644)
	write(t, filepath.Join(folder, "writable"), content+strong, 0o620)
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("gone", filepath.Join(folder, "dangling")); err != nil {
		t.Fatal(err)
	}
	for at, s := range secrets {
		name := at[strings.LastIndexByte(at, '.')+1:]
		for form, want := range map[string]string{
			name + "_file: s/none":     `names "s/none", which does not exist`,
			name + "_file: s/dangling": `names "s/dangling", which does not exist`,
			name + "_file: s/empty":    `names "s/empty", which is empty`,
			name + "_file: s/line":     `names "s/line", which is empty`,
			name + "_file: s/../s":     `names "s/../s", which is a directory`,
			name + "_file: s/pipe":     `names "s/pipe", which is not a regular file`,
			name + "_file: s/large":    `names "s/large", which has more than 64 KiB`,
			name + "_file: s/binary":   `names "s/binary", which is not UTF-8 text`,
			name + "_file: s/open":     `names "s/open", which others may read or change (mode 0644): chmod 640`,
			name + "_file: s/writable": `names "s/writable", which others may read or change (mode 0620): chmod 640`,
			// The secret itself, written in the wrong place.
			name + "_file: " + content:                      `names a file that does not exist`,
			name + "_file: /" + content + "/x":              `names a file that does not exist`,
			name + "_env: " + content:                       `names an environment variable that is not set, or empty`,
			name + "_file: $CREDENTIALS_DIRECTORY/x":        `needs the variable CREDENTIALS_DIRECTORY, which systemd sets for a unit with LoadCredential`,
			name + ": " + content + ", " + name + "_env: A": "needs",
			name + "_env: A, " + name + "_file: s/open":     "needs",
		} {
			path := filepath.Join(dir, "t.yaml")
			write(t, path, fmt.Sprintf(s.text, form), 0o600)
			_, warnings, err := loadFile(path, Flags{}, "A="+strong)
			got := fmt.Sprint(warnings, err)
			if refused := !strings.Contains(want, "others may"); (err != nil) != refused {
				t.Errorf("%s: %s: got %v", at, form, err)
			}
			field := strings.ReplaceAll(at, "[]", "[0]")
			if want == "needs" {
				want, field = name+"_env and "+name+"_file", strings.TrimSuffix(field, "."+name)
			}
			if !strings.Contains(got, field) || !strings.Contains(got, want) {
				t.Errorf("%s: %s: got %s, want %s: %s", at, form, got, field, want)
			}
			if strings.Contains(got, "s3cr3t") {
				t.Errorf("%s: %s: the secret is shown: %s", at, form, got)
			}
		}
	}
}

// A configuration is read again with the new content of its files.
func TestSecretFileChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "t.yaml"), filepath.Join(dir, "pw")
	write(t, path, minimal+"dashboard: {password_file: ./pw}\n", 0o600)
	for _, text := range []string{strong, "next " + strong} {
		write(t, file, text+"\n", 0o600)
		cfg, _, err := Load(path, Flags{})
		if err != nil || cfg.Password != sha256.Sum256([]byte(text)) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path, Flags{}); err == nil || !strings.Contains(err.Error(), "dashboard.password_file: names a file that does not exist") {
		t.Errorf("got %v, want that the file is missing", err)
	}
	if _, err := LoadElsewhere(path, Flags{}); err != nil { // a command may not have access to the server's files
		t.Error(err)
	}
}
