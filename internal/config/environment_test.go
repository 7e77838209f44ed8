package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config/owned"
	"trackway/internal/config/scalar"
	"trackway/internal/config/setting"
)

const (
	demo     = "[{name: demo, token: 12345678-1234-1234-1234-123456789abc}]"
	projects = "TRACKWAY_PROJECTS=" + demo
)

// values are values of all settings, in sets that do not contradict each other.
// No value is a default.
var values = []map[string]string{
	{
		"listen": "0.0.0.0:1", "ops_listen": ":2", "data_dir": "/d", "partitions": "3", "tls.cert": "/c.pem", "tls.key": "/k.pem", "tls.redirect": ":80",
		"server.name": "ts1", "server.region": "eu", "server.url": "https://ts1.example.com", "trusted_proxies": "[10.0.0.0/8]",
		"client_ip_header": "forwarded", "proxy_protocol": "true", "servers": `[{name: ts2, region: us, url: "https://ts2.example.com"}]`,
		"redirect_hosts": "[t.example.com]", "contact.email": "a@example.com", "contact.url": "https://example.com/#a: b",
		"connections.max": "10", "connections.per_address": "20", "memory.max_mb": "1000", "log.level": "warn", "log.format": "json",
		"dashboard.password": strong + ": # '", "dashboard.users_only": "false", "projects": "[{name: other, token: 22345678-1234-1234-1234-123456789abc}]",
		"limits":    "[{name: track, paths: [/track/], limit: 7000, window: 60s}]",
		"overrides": "[{policy: track, address: 203.0.113.0/24, limit: 60000}]", "traffic.record": "true", "traffic.keep": "30d", "traffic.max_mb": "20",
		"audit.keep":      "90d",
		"traces.endpoint": "http://127.0.0.1:4318", "traces.sample": "0.5", "traces.follow": "[10.0.0.0/8]",
		"traces.headers": "[{name: authorization, value: Bearer x}]",
		"destinations":   "[{name: out, kind: file, path: /out}]", "alarms.zone": "Europe/Berlin",
		"alarms.receivers": `[{name: ops, kind: slack, url: "https://hooks.slack.com/services/x"}]`,
		"alarms.rules":     "[{kind: silence, percent: 5}]",
		"admin_keys":       "[{name: ci, kind: private, id: ci-id, secret: " + strong + "}]",
	},
	{"projects": demo, "dashboard.password_sha256": strings.Repeat("12", 32), "tls.acme.hosts": "[ts1.example.com]", "tls.acme.email": "a@example.com", "tls.acme.directory": "https://acme.example.com/"},
	{"projects": demo, "dashboard.password_env": "GIVEN"},
	{"projects": demo, "dashboard.password_file": "{dir}/pw"},
	{
		"projects": demo, "dashboard.oidc.issuer": "https://login.example.com", "dashboard.oidc.client_id": "trackway", "dashboard.oidc.client_secret": strong,
		"dashboard.oidc.name": "Example: Inc.", "dashboard.oidc.scopes": "[openid, groups]", "dashboard.oidc.name_claim": `["https://example.com/name"]`,
		"dashboard.oidc.groups_claim": "[realm_access, roles]", "dashboard.oidc.groups": "[{group: a, role: admin}, {group: b, role: viewer, projects: [demo]}]",
	},
	{
		"projects": demo, "dashboard.oidc.issuer": "https://login.example.com", "dashboard.oidc.client_id": "trackway", "dashboard.oidc.client_secret_env": "GIVEN",
		"dashboard.oidc.groups": "[{group: a, role: admin}]",
	},
	{
		"projects": demo, "dashboard.oidc.issuer": "https://login.example.com", "dashboard.oidc.client_id": "trackway", "dashboard.oidc.client_secret_file": "{dir}/pw",
		"dashboard.oidc.groups": "[{group: a, role: admin}]",
	},
	{
		"projects": demo, "cluster.log": "raft", "cluster.name": "eu", "cluster.listen": "0.0.0.0:7946", "cluster.advertise": "ts1.example.com:7946",
		"cluster.peers": `["ts1.example.com:7946", "ts2.example.com:7946"]`, "cluster.heartbeat": "3s", "cluster.max_clock_skew": "4s", "cluster.reserve": "2GiB", "cluster.copies": "5",
		"cluster.tls.ca": "/ca.pem", "cluster.tls.cert": "/c.pem", "cluster.tls.key": "/k.pem",
	},
	{
		"projects": demo, "cluster.log": "kafka", "cluster.name": "eu", "cluster.listen": "127.0.0.1:7946", "cluster.kafka.topic": "tracks",
		"cluster.kafka.url": "kafka://k1,k2", "cluster.kafka.user": "jo", "cluster.kafka.password": strong,
	},
	{"projects": demo, "cluster.log": "kafka", "cluster.name": "eu", "cluster.listen": "127.0.0.1:7946", "cluster.kafka.url_env": "GIVEN", "cluster.kafka.user": "jo", "cluster.kafka.password_env": "GIVEN"},
	{"projects": demo, "cluster.log": "kafka", "cluster.name": "eu", "cluster.listen": "127.0.0.1:7946", "cluster.kafka.url_file": "{dir}/pw", "cluster.kafka.user": "jo", "cluster.kafka.password_file": "{dir}/pw"},
}

// section is settings and sections by their names.
type section map[string]any

// String returns the section in YAML, on one line.
func (s section) String() string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		members = append(members, fmt.Sprintf("%s: %v", name, s[name]))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// asYAML writes settings as a file.
func asYAML(settings []setting.Setting, values map[string]string) string {
	all := make(section)
	for _, s := range settings {
		value, ok := values[s.Path]
		if !ok {
			continue
		}
		if kind := s.Value.Kind(); scalar.Is(s.Value.Type()) && kind != reflect.Bool && kind != reflect.Uint32 {
			value = strconv.Quote(value)
		}
		names := strings.Split(s.Path, ".")
		within := all
		for _, name := range names[:len(names)-1] {
			if within[name] == nil {
				within[name] = make(section)
			}
			within = within[name].(section) // no setting is a section, too
		}
		within[names[len(names)-1]] = value
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s: %v\n", name, all[name])
	}
	return b.String()
}

// Every setting can be given by a variable, and means the same as in a file.
// The whole can also be given as one text.
func TestVariables(t *testing.T) {
	t.Parallel()
	settings := setting.All(reflect.ValueOf(new(file)).Elem())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pw"), strong, 0o600)
	tested := make(map[string]bool)
	for i, set := range values {
		set = maps.Clone(set)
		for key, value := range set {
			set[key] = strings.ReplaceAll(value, "{dir}", dir)
		}
		text := asYAML(settings, set)
		path := filepath.Join(dir, strconv.Itoa(i)+".yaml")
		write(t, path, text, 0o600)
		want, _, err := loadFile(path, Flags{}, "GIVEN="+strong)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		environ := []string{"GIVEN=" + strong}
		for _, s := range settings {
			if value, ok := set[s.Path]; ok {
				environ = append(environ, s.Variable+"="+value)
				tested[s.Path] = true
			}
		}
		want.File = ""
		if set["data_dir"] == "" {
			want.DataDir = "trackway-data" // in the working directory
		}
		for what, c := range map[string]struct {
			path    string
			environ []string
		}{
			"single variables":               {filepath.Join(dir, "none.yaml"), environ},
			"one text":                       {TextVariable, []string{"GIVEN=" + strong, TextVariable + "=" + text}},
			"single variables over one text": {TextVariable, append(slices.Clone(environ), TextVariable+"=listen: a:1\nlimits: [{name: a, paths: [/a], limit: 1, window: 1s}]\n"+"projects: "+demo)},
		} {
			if what == "single variables over one text" && i > 0 {
				continue // what is not set comes from the text
			}
			got, warnings, err := loadFile(c.path, Flags{}, c.environ...)
			if err != nil || len(warnings) > 0 {
				t.Errorf("set %d, %s: got %v, %v", i, what, warnings, err)
				continue
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(comparePrefixes)); diff != "" {
				t.Errorf("set %d, %s: (-file +variables):\n%s", i, what, diff)
			}
		}
	}
	names := make(map[string]string)
	for _, s := range settings {
		if !tested[s.Path] {
			t.Errorf("%s is not tested: add it to values", s.Path)
		}
		if slices.Contains(otherVariables, s.Variable) || names[s.Variable] != "" {
			t.Errorf("the variable of %s has another meaning, too: %s", s.Path, s.Variable)
		}
		names[s.Variable] = s.Path
	}
}

// Flags win over variables, which win over the file. An empty variable is not
// set. A list replaces that of the file as a whole.
func TestOrderOfSources(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	write(t, path, minimal+"listen: file:1\nops_listen: file:2\nserver: {name: file, region: file}\ntrusted_proxies: [10.0.0.0/8, 10.0.0.1]\ntls: {cert: c.pem, key: k.pem}\n", 0o600)
	got, _, err := loadFile(path, Flags{Listen: "flag:1"}, "TRACKWAY_LISTEN=variable:1", "TRACKWAY_OPS_LISTEN=variable:2", "TRACKWAY_SERVER_REGION=variable",
		"TRACKWAY_TRUSTED_PROXIES=[192.0.2.1]", "TRACKWAY_LOG_LEVEL=", "TRACKWAY_TLS_CERT=v.pem")
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		File, Listen, Ops, Name, Region, Level, Cert, Key, Proxies string
	}
	want := facts{path, "flag:1", "variable:2", "file", "variable", "info", "v.pem", filepath.Join(filepath.Dir(path), "k.pem"), "[192.0.2.1/32]"}
	have := facts{got.File, got.Listen, got.OpsListen, got.Server.Name, got.Server.Region, got.Log.Level, got.TLS.Cert, got.TLS.Key, fmt.Sprint(got.TrustedProxies)}
	if have != want {
		t.Errorf("got %+v, want %+v", have, want)
	}
}

// Problems name the variable, and show no secret.
func TestProblemsOfVariables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	write(t, path, "limits:\n  - {name: a, paths: [/a], limit: 1, window: 1s}\n", 0o600)
	for _, c := range []struct{ environ, want string }{
		{"TRACKWAY_PROXY_PROTOCOL=yes", `TRACKWAY_PROXY_PROTOCOL: proxy_protocol "yes": must be true or false`},
		{"TRACKWAY_CONNECTIONS_MAX=many", `TRACKWAY_CONNECTIONS_MAX: connections.max "many": must be a whole number from 0 to 4294967295`},
		{"TRACKWAY_SERVER_URL=ts1", `TRACKWAY_SERVER_URL: server.url "ts1": must be an address such as https://ts1.example.com`},
		{"TRACKWAY_SERVER_NAME=a b", `TRACKWAY_SERVER_NAME: server.name "a b": must name the server in 1 to 64 letters, digits, '-', '_' and '.'`},
		{"TRACKWAY_TRUSTED_PROXIES=10.0.0.0/8", `TRACKWAY_TRUSTED_PROXIES:1:1: trusted_proxies "10.0.0.0/8": must be a list, such as [a, b]`},
		{"TRACKWAY_TRUSTED_PROXIES=[10.0.0.0/8", `TRACKWAY_TRUSTED_PROXIES:1:1: not YAML: sequence end token ']' not found`},
		{"TRACKWAY_TLS_CERT=c.pem", `TRACKWAY_TLS_CERT: tls: needs both cert and key, or neither`},
		{"TRACKWAY_TLS_ACME_EMAIL=a@example.com", `TRACKWAY_TLS_ACME_EMAIL: tls.acme: needs hosts, such as [tracking.example.com]`},
		{"TRACKWAY_DASHBOARD_PASSWORD_SHA256=s3cr3t", `TRACKWAY_DASHBOARD_PASSWORD_SHA256: dashboard.password_sha256: must be the password's SHA-256 in 64 hexadecimal digits`},
		{"TRACKWAY_DASHBOARD_PASSWORD_FILE=s3cr3t", `TRACKWAY_DASHBOARD_PASSWORD_FILE: dashboard.password_file: names a file that does not exist`},
		{"TRACKWAY_LIMITS=[{name: a, paths: [/a], limit: 1}]", `TRACKWAY_LIMITS:1:2: limits[0]: needs a window, such as 60s`},
		{
			"TRACKWAY_PROJECTS=[{name: demo, token: 12345678-1234-1234-1234-123456789abc, keys: [{name: a, kind: private, id: a, secrett: s3cr3t}]}]",
			`TRACKWAY_PROJECTS:1:99: projects[0].keys[0].secrett: unknown key; known here: `,
		},
		{"TRACKWAY_PROJECTS=[s3cr3t", `TRACKWAY_PROJECTS:1:1: not YAML: sequence end token ']' not found`},
		// Otherwise there would be no project at all, or the file's limits.
		{"TRACKWAY_PROJECTS= \n", `TRACKWAY_PROJECTS: projects: has no value: unset the variable, or give it one`},
		{"TRACKWAY_LIMITS=# - {name: a, paths: [/a], limit: 1, window: 1s}", `TRACKWAY_LIMITS: limits: has no value: unset the variable, or give it one`},
		// A secret in the wrong place.
		{"TRACKWAY_DESTINATIONS=postgres://u:s3cr3t@db/x", `TRACKWAY_DESTINATIONS:1:1: destinations: must be a list`},
		{"TRACKWAY_DESTINATIONS=[postgres://u:s3cr3t@db/x]", `TRACKWAY_DESTINATIONS:1:2: destinations[0]: must hold keys and values`},
		{"TRACKWAY_YAML=dashboard: s3cr3t", `TRACKWAY_YAML:1:12: dashboard: must hold keys and values`},
		{"TRACKWAY_TLS_KEY=-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\n", `TRACKWAY_TLS_KEY: tls.key: must be the path of a PEM file, not the text in it`},
		{"TRACKWAY_CLUSTER_TLS_KEY=-----BEGIN EC PRIVATE KEY-----\ns3cr3t", `TRACKWAY_CLUSTER_TLS_KEY: cluster.tls.key: must be the path of a PEM file, not the text in it`},
		{"TRACKWAY_YAML=lissten: s3cr3t", `TRACKWAY_YAML:1:1: lissten: unknown key; known here: `},
	} {
		environ := []string{projects, c.environ}
		at := path
		if strings.HasPrefix(c.environ, "TRACKWAY_PROJECTS") {
			environ = environ[1:]
		} else if strings.HasPrefix(c.environ, TextVariable) {
			at = TextVariable
		}
		_, _, err := loadFile(at, Flags{}, environ...)
		got := fmt.Sprint(err)
		if strings.Contains(c.want, "PROJECTS:1:1: not YAML") && got != c.want {
			t.Errorf("%s: got\n%s\nwant only\n%s", c.environ, got, c.want)
		}
		if !slices.ContainsFunc(strings.Split(got, "\n"), func(line string) bool { return strings.HasPrefix(line, c.want) }) || strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: got\n%s\nwant\n%s", c.environ, got, c.want)
		}
	}
}

// A check's problem with a list that a variable gives is at the variable, even
// if the file has that list, too.
func TestReplacedList(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	write(t, path, minimal+"limits:\n  - {name: a, paths: [/a], limit: 1, window: 1s}\n", 0o600)
	environ := func() []string {
		return []string{"TRACKWAY_LIMITS=[{name: b, paths: [/b], limit: 2, window: 1s}]"}
	}
	d, err := load(path, Flags{}, surroundings{env, nil, environ}, owned.Read, []Check{func(*Config) []Problem {
		return []Problem{{Field: "limits[0].limit", Msg: "is even"}, {Field: "limits[0].ipv6_wide.prefix", Msg: "is missing"}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.result()
	if want := "TRACKWAY_LIMITS:1:32: limits[0].limit 2: is even"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Without a file, at least the projects must be in the environment. A secret in
// a variable is not in the file, whatever the file's mode.
func TestNoFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if _, _, err := loadFile(path, Flags{}, "TRACKWAY_LISTEN=a:1", "TRACKWAY_PROJECTS="); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that there is no file", err)
	}
	if _, _, err := loadFile(path, Flags{}, TextVariable+"=listen: a:1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that a named file is not replaced", err)
	}
	write(t, path, minimal, 0o644)
	d, err := load(path, Flags{}, surroundings{env, nil, func() []string { return []string{"TRACKWAY_DASHBOARD_PASSWORD=" + strong} }}, owned.Read, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.warnOfMode(0o644); len(d.Warnings) > 0 {
		t.Errorf("got %v", d.Warnings)
	}
}

// TestChangeWithoutFile: without an operator's file, a change reads the
// environment again, whatever files are in the working directory.
func TestChangeWithoutFile(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TRACKWAY_PROJECTS", demo)
	write(t, "environment", "nonsense", 0o600) // as messages call what replaces the file
	cfg, err := ChangeKeys("t.yaml", Flags{}, func(k *Keys) error {
		_, _, err := k.Add("demo", "web", trackway.PublicKey, nil)
		return err
	})
	if err != nil || len(cfg.Projects[0].Keys) != 1 {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

// The variables that Kubernetes sets for a service of any likely name are no
// settings, and lead to no warning.
func TestServiceVariables(t *testing.T) {
	t.Parallel()
	services := []string{"TRACKWAY_"}
	for _, s := range setting.All(reflect.ValueOf(new(file)).Elem()) {
		services = append(services, s.Variable+"_")
		for _, section := range s.Sections {
			services = append(services, setting.Prefix+strings.ToUpper(strings.ReplaceAll(section.Path, ".", "_"))+"_")
		}
	}
	var environ []string
	for _, service := range services {
		for name, value := range map[string]string{
			"SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "8080", "SERVICE_PORT_HTTP": "8080", "PORT": "tcp://10.0.0.1:8080", "PORT_8080_TCP": "tcp://10.0.0.1:8080",
			"PORT_8080_TCP_PROTO": "tcp", "PORT_8080_TCP_PORT": "8080", "PORT_8080_TCP_ADDR": "10.0.0.1",
		} {
			environ = append(environ, service+name+"="+value)
		}
	}
	want, _, err := loadText(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	got, warnings, err := loadText(t, minimal, environ...)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got %v, %v", warnings, err)
	}
	got.File, got.DataDir = want.File, want.DataDir
	if diff := cmp.Diff(want, got, cmp.Comparer(comparePrefixes)); diff != "" {
		t.Errorf("(-without +with the variables):\n%s", diff)
	}
}

// A misspelled variable leads to a warning. Those of others do not.
func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"TRACKWAY_LISTNE": "did you mean TRACKWAY_LISTEN?", "TRACKWAY_DATA_DIR": "did you mean TRACKWAY_DATA?",
		"TRACKWAY_TRUSTED_PROXY": "did you mean TRACKWAY_TRUSTED_PROXIES?", "TRACKWAY_LOG": "did you mean TRACKWAY_LOG_FORMAT?",
		"TRACKWAY_BLUE":       "is a variable that has no effect",
		"TRACKWAY_OWN_SECRET": "", "TRACKWAY_SECRET": "", "TRACKWAY_CONFIG": "", "TRACKWAY_SERVICE_HOST": "", "TRACKWAY_PORT_8080_TCP_ADDR": "",
		"TRACKWAY_OPS_SERVICE_PORT_HTTP": "", "LISTEN": "",
	} {
		_, warnings, err := loadText(t, minimal+"dashboard: {password_env: TRACKWAY_OWN_SECRET}\n", name+"="+strong, "TRACKWAY_OWN_SECRET="+strong, "TRACKWAY_PORT=tcp://10.0.0.1:80")
		got := InvalidError(warnings).Error()
		if err != nil || (want == "") != (got == "") || !strings.Contains(got, want) || want != "" && !strings.HasPrefix(got, name+": ") {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
		if strings.Contains(got, strong) {
			t.Errorf("%s: the value is shown: %s", name, got)
		}
	}
}

// The reference of the settings has every setting, and every variable.
func TestReference(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range setting.All(reflect.ValueOf(new(file)).Elem()) {
		if row := "| `" + s.Path + "` | `" + s.Variable + "` |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/configuration.md lacks a row that begins with %s", row)
		}
	}
}
