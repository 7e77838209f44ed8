package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"trackway/cmd/trackway/configfile"
	"trackway/internal/app"
	"trackway/internal/systemd"
)

// runs runs a command and checks its exit status.
func runs(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	if got := run(args, strings.NewReader(""), &out, &errs); got != want {
		t.Errorf("trackway %s: got exit status %d, want %d\n%s%s", strings.Join(args, " "), got, want, &out, &errs)
	}
	return out.String(), errs.String()
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got\n%s\nwant %q in it", what, got, want)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"", "expected one of"},
		{"fly", "fly"},
		{"serve --wings", "--wings"},
		{"serve --listen", "--listen"},
		{"check extra", "extra"},
	} {
		stdout, stderr := runs(t, misuse, strings.Fields(c.args)...)
		contains(t, "stderr of "+c.args, stderr, c.want)
		if stdout != "" {
			t.Errorf("stdout of %q: got %q, want nothing", c.args, stdout)
		}
	}
	for _, args := range []string{"--help", "serve --help", "check --help"} {
		stdout, stderr := runs(t, fine, strings.Fields(args)...)
		contains(t, "stdout of "+args, stdout, "Usage: trackway")
		if stderr != "" {
			t.Errorf("stderr of %q: got %q, want nothing", args, stderr)
		}
	}
}

func TestInitAndCheck(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	stdout, _ := runs(t, fine, "init", "--config", path)
	contains(t, "init", stdout, "Made "+path)
	stdout, stderr := runs(t, fine, "check", "--config", path)
	contains(t, "check", stdout, path+" is fine. Projects: 1, limits: 4, overrides: 0, destinations: 0.")
	if stderr != "" {
		t.Errorf("check: got %q on stderr, want nothing", stderr)
	}
	_, stderr = runs(t, failed, "init", "--config", path)
	contains(t, "second init", stderr, path+": file exists; it stays unchanged")

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr = runs(t, fine, "check", "--config", path)
	contains(t, "check of a file that others may read", stderr, "warning: "+path+": holds a secret")
	_, stderr = runs(t, failed, "check", "--config", path, "--listen", "nonsense")
	contains(t, "check of a flag", stderr, `--listen or TRACKWAY_LISTEN "nonsense"`)
	_, stderr = runs(t, failed, "check", "--config", path+".absent")
	contains(t, "check of nothing", stderr, "trackway: read configuration: open "+path+".absent")
}

func TestCheckSaysAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(path, []byte("shade: blue\nlisten: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "serve"} {
		_, stderr := runs(t, failed, command, "--config", path)
		for i, want := range []string{": needs at least one project", ":1:1: shade: unknown key", `:2:9: listen "x": must be`} {
			lines := append(strings.Split(stderr, "\n"), "", "", "")
			if !strings.HasPrefix(lines[i], path+want) {
				t.Errorf("%s, line %d: got %q, want %s…", command, i+1, lines[i], path+want)
			}
		}
	}
}

// check finds what the parts of the server would refuse, with its place.
func TestCheckLimits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	const src = `projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]
limits:
  - {name: track, paths: [/track/], limit: 5999, window: 60s}
  - {name: a, paths: [/a/], limit: 1, window: 1500ms, per: moon}
overrides:
  - {policy: none, address: 203.0.113.0/24, limit: 1}
`
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "serve"} {
		_, stderr := runs(t, failed, command, "--config", path)
		for _, want := range []string{
			":3:44: limits[0].limit 5999: ", `:4:47: limits[1].window "1500ms": `, `:4:60: limits[1].per "moon": `,
			`:6:14: overrides[0].policy "none": `,
		} {
			contains(t, command, stderr, path+want)
		}
		if got := strings.Count(stderr, "\n"); got != 4 {
			t.Errorf("%s: got %d lines, want 4:\n%s", command, got, stderr)
		}
	}
}

// Environment variables stand for flags. The flags win.
func TestEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yaml")
	t.Setenv("TRACKWAY_CONFIG", path)
	runs(t, fine, "init")
	for name, flag := range map[string]string{
		"TRACKWAY_LISTEN": "--listen", "TRACKWAY_OPS_LISTEN": "--ops-listen",
		"TRACKWAY_LOG_LEVEL": "--log-level", "TRACKWAY_LOG_FORMAT": "--log-format",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "from-the-environment")
			_, stderr := runs(t, failed, "check")
			contains(t, name, stderr, flag+" or "+name+` "from-the-environment"`)
			_, stderr = runs(t, failed, "check", flag, "from-a-flag")
			contains(t, flag, stderr, flag+" or "+name+` "from-a-flag"`)
		})
	}
}

// The environment may have the whole configuration. A flag that names a file
// wins over the text in TRACKWAY_YAML, and TRACKWAY_CONFIG does not.
func TestEnvironmentAlone(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const projects = "[{name: demo, token: 12345678-1234-1234-1234-123456789abc}]"
	_, stderr := runs(t, failed, "check")
	contains(t, "check of nothing", stderr, "read configuration: open trackway.yaml")
	t.Setenv("TRACKWAY_PROJECTS", projects)
	stdout, stderr := runs(t, fine, "check")
	contains(t, "check of variables", stdout, "The environment is fine. Projects: 1, limits: 4, ")
	if stderr != "" {
		t.Errorf("got %q on stderr, want nothing", stderr)
	}
	t.Setenv("TRACKWAY_PROJECTS", "")
	t.Setenv("TRACKWAY_CONFIG", filepath.Join(dir, "t.yaml"))
	runs(t, fine, "init")
	t.Setenv("TRACKWAY_YAML", "limits: []\nprojects: "+projects)
	stdout, _ = runs(t, fine, "check")
	contains(t, "check of a text", stdout, "The environment is fine. Projects: 1, limits: 0, ")
	stdout, _ = runs(t, fine, "check", "--config", "t.yaml")
	contains(t, "check of a named file", stdout, "t.yaml is fine. Projects: 1, limits: 4, ")
	_, stderr = runs(t, failed, "init")
	contains(t, "init", stderr, "the configuration is in TRACKWAY_YAML")
}

// The environment variables of all flags are known to the configuration: it
// does not warn of them.
func TestVariablesOfFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	runs(t, fine, "init", "--config", "t.yaml")
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, name := range f.Envs {
				if _, set := os.LookupEnv(name); !set {
					t.Setenv(name, map[string]string{"TRACKWAY_LOG_LEVEL": "warn", "TRACKWAY_LOG_FORMAT": "text"}[name])
				}
				if os.Getenv(name) == "" {
					t.Setenv(name, "127.0.0.1:0")
				}
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(kong.Must(new(commands)).Model.Node)
	if _, stderr := runs(t, fine, "check", "--config", "t.yaml"); stderr != "" {
		t.Errorf("got %q, want no warnings", stderr)
	}
}

// Any directory may hold the data, so no error would show that the variable is
// read.
func TestDataEnvironment(t *testing.T) {
	t.Setenv("TRACKWAY_DATA", "elsewhere")
	var c commands
	if _, err := kong.Must(&c).Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	if got := c.Serve.DataDir; got != "elsewhere" {
		t.Errorf("got %q, want elsewhere", got)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	stdout, _ := runs(t, fine, "version")
	contains(t, "version", stdout, "trackway ")
	built := func(settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-2027"}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123abcd"}
	for _, c := range []struct {
		linked       string
		info         *debug.BuildInfo
		name, commit string
	}{
		{"v1.2.3", nil, "v1.2.3", ""},
		{"", nil, "unreleased", ""},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "unreleased", ""},
		{"", built(), "v0.0.0-2027", ""},
		{"v1.2.3", built(revision), "v1.2.3", "0123abcd"},
		{"v1.2.3", built(revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "v1.2.3", "0123abcd+changes"},
		{"v1.2.3", built(revision, debug.BuildSetting{Key: "vcs.modified", Value: "false"}), "v1.2.3", "0123abcd"},
	} {
		if name, commit := versionOf(c.linked, c.info); name != c.name || commit != c.commit {
			t.Errorf("%q, %v: got %q, %q, want %q, %q", c.linked, c.info, name, commit, c.name, c.commit)
		}
	}
}

// A weak secret does not prevent a start, but is reported: by check with its
// place, by serve once in its log.
func TestWeakSecretIsSaid(t *testing.T) {
	t.Parallel()
	path := configure(t, "", "secret: x")
	stdout, stderr := runs(t, fine, "check", "--config", path)
	contains(t, "check", stdout, "is fine")
	const weak = ":5:61: projects[0].keys[0].secret: has fewer than 16 characters"
	contains(t, "check", stderr, "warning: "+path+weak)
	_, stderr, err := serves(t, serveCommand{configFile{Config: path}, settings{}}, readyServer)
	if n := strings.Count(stderr, weak); n != 1 || err != nil {
		t.Errorf("serve says it %d times, want once (%v)\n%s", n, err, stderr)
	}
}

// Every command chooses its configuration in the same way, which a default of
// its own would prevent.
func TestConfigIsChosen(t *testing.T) {
	t.Parallel()
	commands := 0
	_ = kong.Visit(newParser().Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && flag.Name == "config" {
			if commands++; flag.HasDefault || !slices.Equal(flag.Envs, []string{"TRACKWAY_CONFIG"}) {
				t.Errorf("%s has the default %q, and the variables %v", flag.Summary(), flag.Default, flag.Envs)
			}
		}
		return next(nil)
	})
	if commands < 20 {
		t.Errorf("%d commands were looked at", commands)
	}
	var c struct {
		Status struct{ configFile } `cmd:""`
	}
	ctx, err := kong.Must(&c).Parse([]string{"status"})
	if err != nil || ctx.Command() != "status" || c.Status.Config != configfile.Choose(ctx, "") {
		t.Errorf("got %q, %v", c.Status.Config, err)
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	path := configure(t, "", "secret: s3cret")
	answer := http.StatusOK
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/ready" {
			t.Errorf("got a call of %s", r.URL.Path)
		}
		w.WriteHeader(answer)
	}))
	defer ops.Close()
	address := ops.Listener.Addr().String()
	stdout, _ := runs(t, fine, "healthcheck", "--config", path, "--ops-listen", address)
	contains(t, "a ready server", stdout, "ready")
	answer = http.StatusServiceUnavailable
	_, stderr := runs(t, failed, "healthcheck", "--config", path, "--ops-listen", address)
	contains(t, "one that is not ready", stderr, "refuses")
	ops.Close()
	_, stderr = runs(t, failed, "healthcheck", "--config", path, "--ops-listen", address)
	contains(t, "no server", stderr, "no answer from http://"+address)
}

// A server that systemd has started tells it when it is ready and when it
// stops, and answers its watchdog.
func TestSupervised(t *testing.T) {
	t.Parallel()
	var heard []string
	unit := systemd.Unit{Send: func(state string) { heard = append(heard, strings.TrimRight(state, "0123456789")) }}
	_, _, err := serves(t, serveCommand{configFile{Config: filepath.Join(t.TempDir(), "t.yaml")}, settings{}}, supervised(
		func(ctx context.Context, s app.Setup) error {
			s.Ready(&net.TCPAddr{IP: net.IPv4zero, Port: 8080}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081})
			<-ctx.Done()
			return nil
		}, &unit))
	if got := strings.Join(heard, " "); err != nil || !strings.HasPrefix(got, "EXTEND_TIMEOUT_USEC= ") || !strings.HasSuffix(got, "STOPPING=") {
		t.Errorf("got %s, %v", got, err)
	}
}
