package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/app"
	"trackway/internal/config"
)

// readyServer is ready at once, at fixed addresses, and stops when asked to.
func readyServer(ctx context.Context, setup app.Setup) error {
	setup.Ready(&net.TCPAddr{IP: net.IPv4zero, Port: 8080}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081})
	<-ctx.Done()
	return nil
}

// serves runs a server that is asked to stop from the start, and returns its
// output.
func serves(t *testing.T, c serveCommand, s server) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	err = c.serve(ctx, output{&out, &errs}, s)
	return out.String(), errs.String(), err
}

// TestFileComesAndGoes: the log says if there is no configuration file, since
// its path may be misspelled. A file that was made later is read at a reload.
// From then on it must be there.
func TestFileComesAndGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yaml")
	t.Setenv("TRACKWAY_PROJECTS", "[{name: demo, token: 12345678-1234-1234-1234-123456789abc}]")
	_, stderr, err := serves(t, serveCommand{configFile{Config: path}, settings{}}, func(_ context.Context, setup app.Setup) error {
		if cfg, err := setup.Load(); err != nil || cfg.File != "" {
			t.Errorf("without a file: got %+v, %v", cfg, err)
		}
		if err := os.WriteFile(path, []byte("limits: []\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if cfg, err := setup.Load(); err != nil || cfg.File != path || len(cfg.Policies) > 0 {
			t.Errorf("with a file: got %+v, %v", cfg, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := setup.Load(); err == nil || !strings.Contains(err.Error(), path+" is gone") {
			t.Errorf("the file is gone: got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	contains(t, "log", stderr, "there is no configuration file: the environment has the configuration")
}

func TestFirstServe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	c := serveCommand{configFile{Config: path}, settings{LogFormat: "json"}}
	stdout, stderr, err := serves(t, c, readyServer)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "first start", stdout, "Made "+path)
	contains(t, "log", stderr, `"msg":"ready","public":"0.0.0.0:8080","ops":"127.0.0.1:8081"`)
	cfg, _, err := config.Load(path, config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Projects[0]
	contains(t, "event", stdout, "curl -sS http://127.0.0.1:8080/track/v2/projects/"+p.Token+"/customers/events")
	contains(t, "event", stdout, "Token "+p.Keys[0].ID)
	contains(t, "reading", stdout, "curl -sS http://127.0.0.1:8080/data/v2/projects/"+p.Token+"/customers/events")
	contains(t, "reading", stdout, "-u '"+p.Keys[1].ID+":")

	stdout, _, err = serves(t, c, readyServer)
	if stdout != "" || err != nil {
		t.Errorf("second start: got %q, %v, want nothing", stdout, err)
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	never := func(context.Context, app.Setup) error {
		t.Error("a server was started")
		return nil
	}
	_, _, err := serves(t, serveCommand{configFile{Config: filepath.Join(dir, "absent", "t.yaml")}, settings{}}, never)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v, want fs.ErrNotExist", err)
	}
	errTaken := errors.New("address in use")
	stdout, _, err := serves(t, serveCommand{configFile{Config: filepath.Join(dir, "t.yaml")}, settings{}},
		func(context.Context, app.Setup) error { return errTaken })
	if !errors.Is(err, errTaken) {
		t.Errorf("a server that fails: got %v, want %v", err, errTaken)
	}
	contains(t, "a first start that fails", stdout, "The password for the server's pages is ")
}

func TestServeWarns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	runs(t, fine, "init", "--config", path)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := serves(t, serveCommand{configFile{Config: path}, settings{}}, readyServer)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "log", stderr, "level=WARN")
	contains(t, "log", stderr, "holds a secret")
}

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		after := func(d time.Duration) func() error {
			return func() error { <-time.After(d); return nil }
		}
		if err := await(ctx, after(time.Hour)); err != nil {
			t.Errorf("nobody asked it to stop: got %v", err)
		}
		cancel()
		if err := await(ctx, after(stopTime-1)); err != nil {
			t.Errorf("stopped in time: got %v", err)
		}
		hang := make(chan error)
		defer close(hang)
		start := time.Now()
		if err := await(ctx, func() error { return <-hang }); err == nil {
			t.Error("stopped too late: got no error")
		}
		if took := time.Since(start); took != stopTime {
			t.Errorf("gave up after %v, want %v", took, stopTime)
		}
	})
}
