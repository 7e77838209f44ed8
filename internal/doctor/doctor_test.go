package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
)

// fine returns a machine without problems.
func fine() Host {
	return Host{
		Sync: func(string, int) ([]time.Duration, error) {
			return []time.Duration{time.Millisecond, time.Millisecond, 2 * time.Millisecond}, nil
		},
		Free:  func(string) (free, total uint64, err error) { return 50e9, 100e9, nil },
		Files: func() (uint64, error) { return 65536, nil },
	}
}

// tracker answers like a tracking server, as far as doctor looks.
type tracker struct {
	name, state, body string
	status            int
	ahead             time.Duration // how far its clock is ahead
	believes          bool          // trusts X-Forwarded-For
	uncounted         bool

	mu   sync.Mutex // guards used
	used map[string]int
}

func (s *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := "peer"
	if s.believes {
		who = r.Header.Get("X-Forwarded-For")
	}
	if s.used == nil {
		s.used = map[string]int{}
	}
	if !s.uncounted {
		s.used[r.URL.Path+who]++
	}
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(30-s.used[r.URL.Path+who]))
	w.Header().Set("X-Served-By", s.name)
	w.Header().Set("Date", time.Now().Add(s.ahead).UTC().Format(http.TimeFormat))
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	body := s.body
	if body == "" {
		body = fmt.Sprintf(`{"name":%q,"state":%q}`, s.name, s.state)
	}
	_, _ = w.Write([]byte(body))
}

func serve(t *testing.T, s *tracker) string {
	t.Helper()
	if s.state == "" {
		s.state = "up"
	}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return web.URL
}

// well returns an installation without problems, and its server. A test may
// change both before it examines the installation.
func well(t *testing.T) (Env, *tracker) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	self := &tracker{name: "ts1", believes: true}
	web := &http.Client{Transport: new(http.Transport)}
	t.Cleanup(web.CloseIdleConnections)
	return Env{
		Config: &config.Config{
			Listen: "127.0.0.1:8080", OpsListen: "127.0.0.1:8081", DataDir: dir, Partitions: 1, Server: config.Server{Name: "ts1"},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ClientIPHeader: "X-Forwarded-For",
			Policies: []trackway.Policy{
				{Name: "track", Paths: []string{"/track/"}, Limit: 6000, Window: time.Minute, Mode: trackway.Enforce},
				{Name: "api", Paths: []string{"/api/", "POST /data/"}, Limit: 30, Window: 30 * time.Second, Mode: trackway.Enforce},
				{Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, Mode: trackway.Enforce, NoLooserThan: "api"},
			},
		},
		Floors: []limit.Floor{{Path: "/track/", Calls: 6000, Window: time.Minute}},
		Local:  web, Web: web, LocalURL: serve(t, self), OpsURL: serve(t, &tracker{}), Host: fine(),
	}, self
}

func TestWell(t *testing.T) {
	t.Parallel()
	e, _ := well(t)
	findings := Examine(t.Context(), e)
	for _, f := range findings {
		if f.Level != OK || f.Advice != "" {
			t.Errorf("got %+v, want nothing to be said", f)
		}
	}
	if len(findings) != 12 || Worst(findings) != OK {
		t.Errorf("got %d findings, worst %s, want 12 that are fine", len(findings), Worst(findings))
	}
}

// TestUnwell changes one thing of an installation without problems. The doctor
// must find it, and give advice.
func TestUnwell(t *testing.T) {
	t.Parallel()
	times := func(d ...time.Duration) func(string, int) ([]time.Duration, error) {
		return func(string, int) ([]time.Duration, error) { return d, nil }
	}
	other := func(t *testing.T, e *Env, s *tracker) {
		t.Helper()
		if s.name == "" {
			s.name = "ts2"
		}
		e.Config.Servers = append(e.Config.Servers, config.Server{Name: "ts2", URL: serve(t, s) + "/"})
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, e *Env, self *tracker)
		check  string
		level  Level
		found  string
	}{
		"config warning": {func(_ *testing.T, e *Env, _ *tracker) {
			e.Warnings = []config.Problem{{Msg: "others may read it"}}
		}, "config", Warn, "others may read it"},

		"slow disk": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Host.Sync = times(30*time.Millisecond, 30*time.Millisecond) },
			"disk sync", Warn, "median 30ms",
		},
		"slow at times": {func(_ *testing.T, e *Env, _ *tracker) {
			e.Host.Sync = times(time.Millisecond, time.Millisecond, time.Second)
		}, "disk sync", Warn, "p99 1s"},
		"useless disk": {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Sync = times(time.Second) }, "disk sync", Fail, "median 1s"},
		"memory":       {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Sync = times(2 * time.Microsecond) }, "disk sync", Warn, "median 2µs"},
		"read-only disk": {func(_ *testing.T, e *Env, _ *tracker) {
			e.Host.Sync = func(string, int) ([]time.Duration, error) { return nil, os.ErrPermission }
		}, "disk sync", Fail, "permission denied"},
		"data is a file": {
			func(t *testing.T, e *Env, _ *tracker) { t.Helper(); e.Config.DataDir = touch(t, "data") }, "disk sync", Fail,
			"is not a directory",
		},
		"data in a file": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			e.Config.DataDir = filepath.Join(touch(t, "x"), "data")
		}, "disk sync", Fail, "not a directory"},
		"little space":  {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Free = space(1e9, 10e9) }, "disk space", Warn, "1.0 GB free"},
		"a small share": {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Free = space(30e9, 1000e9) }, "disk space", Warn, "(3 %)"},
		"no space":      {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Free = space(1e8, 1000e9) }, "disk space", Fail, "0.1 GB free"},
		"unknown space": {func(_ *testing.T, e *Env, _ *tracker) {
			e.Host.Free = func(string) (a, b uint64, err error) { return 0, 0, errors.ErrUnsupported }
		}, "disk space", Warn, "cannot be determined"},
		"open data": {
			func(t *testing.T, e *Env, _ *tracker) { t.Helper(); chmod(t, e.Config.DataDir, 0o750) }, "file modes", Warn,
			"mode 0750",
		},
		"other partitions": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(e.Config.DataDir, "store"), 0o700); err != nil {
				t.Fatal(err)
			}
			e.Config.Partitions = 4
		}, "partitions", Fail, "has partitions: 1, and the setting partitions is 4"},
		"damaged history": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(e.Config.DataDir, history.File+history.DamagedSuffix), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "limits history", Warn, "damaged lines were moved"},
		"few files":     {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Files = files(1024) }, "open files", Warn, "1024"},
		"too few files": {func(_ *testing.T, e *Env, _ *tracker) { e.Host.Files = files(256) }, "open files", Fail, "256"},
		"unknown files": {func(_ *testing.T, e *Env, _ *tracker) {
			e.Host.Files = func() (uint64, error) { return 0, errors.ErrUnsupported }
		}, "open files", Warn, "cannot be determined"},
		"below the floor": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.Policies[0].Limit = 5999 }, "limits", Warn,
			"less than is published",
		},
		"reporting": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.Policies[1].Mode = trackway.Report }, "limits", Warn,
			"api refuses nothing (mode report)",
		},
		"no limit": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.Policies = e.Config.Policies[1:] }, "limits", Warn,
			"nothing on /track/ is limited",
		},
		"consent categories": {
			func(_ *testing.T, e *Env, _ *tracker) {
				e.Config.Policies[1].Paths = []string{"/api/", "/data/"}
				e.Config.Projects = []trackway.Project{{Consents: []trackway.ConsentCategory{{ID: "news"}}}}
			}, "limits", Warn,
			"all apps behind one address share them",
		},
		"loose grid": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.Policies[2].Limit = 30 }, "limits", Warn,
			"not stricter than api",
		},
		"all trusted":  {func(_ *testing.T, e *Env, _ *tracker) { trust(e, "0.0.0.0/0") }, "proxies", Fail, "every caller can choose"},
		"many trusted": {func(_ *testing.T, e *Env, _ *tracker) { trust(e, "8.0.0.0/8") }, "proxies", Warn, "8.0.0.0/8"},
		"many IPv6":    {func(_ *testing.T, e *Env, _ *tracker) { trust(e, "2000::/3") }, "proxies", Warn, "2000::/3"},
		"a stranger":   {func(_ *testing.T, e *Env, _ *tracker) { trust(e, "203.0.113.0/24") }, "proxies", Fail, "would believe a stranger"},
		"nobody trusted": {
			func(_ *testing.T, e *Env, self *tracker) { e.Config.TrustedProxies = nil; self.believes = false },
			"proxies", Warn, "count as one",
		},

		"not running": {func(_ *testing.T, e *Env, _ *tracker) { e.LocalURL = "http://127.0.0.1:1" }, "server", Warn, "does not answer"},
		"hanging up": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
			t.Cleanup(mute.Close)
			e.LocalURL = mute.URL
		}, "server", Fail, "does not answer"},
		"somebody else": {func(_ *testing.T, _ *Env, self *tracker) { self.body = "<html>" }, "server", Fail, "not from a tracking server"},
		"error":         {func(_ *testing.T, _ *Env, self *tracker) { self.status = 500 }, "server", Fail, "answers 500"},
		"another name":  {func(_ *testing.T, _ *Env, self *tracker) { self.name = "ts9" }, "server", Fail, "is the server ts9"},
		"ignored": {
			func(_ *testing.T, _ *Env, self *tracker) { self.believes = false }, "forwarding", Fail,
			"the server ignores",
		},
		"believed": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.TrustedProxies = nil }, "forwarding", Fail,
			"the server believes",
		},
		"not counted": {func(_ *testing.T, _ *Env, self *tracker) { self.uncounted = true }, "forwarding", Warn, "does not count"},
		"open ops": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.OpsListen = ":8081" }, "ops listener", Warn,
			"may be reached by others",
		},
		"no ops": {func(_ *testing.T, e *Env, _ *tracker) { e.OpsURL = "http://127.0.0.1:1" }, "ops listener", Fail, "does not answer"},
		"not ready": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			e.OpsURL = serve(t, &tracker{status: 503, body: "stopping"})
		}, "ops listener", Fail, "stopping"},
		"no own url": {func(t *testing.T, e *Env, _ *tracker) { t.Helper(); other(t, e, &tracker{}) }, "own url", Warn, "not told where"},
		"wrong own url": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			e.Config.Server.URL = serve(t, &tracker{name: "ts3"})
		}, "own url", Fail, "leads to ts3"},
		"own url is down": {
			func(_ *testing.T, e *Env, _ *tracker) { e.Config.Server.URL = "http://127.0.0.1:1" }, "own url", Fail,
			"does not answer",
		},
		"gullible proxy": {func(t *testing.T, e *Env, self *tracker) {
			t.Helper()
			e.Config.TrustedProxies, self.believes = nil, false
			e.Config.Server.URL = serve(t, &tracker{name: "ts1", believes: true})
		}, "own url", Fail, "passes on any address"},
		"other is down": {func(_ *testing.T, e *Env, _ *tracker) {
			e.Config.Servers = []config.Server{{Name: "ts2", URL: "http://127.0.0.1:1"}}
		}, "server ts2", Fail, "does not answer"},
		"other is wrong": {
			func(t *testing.T, e *Env, _ *tracker) { t.Helper(); other(t, e, &tracker{name: "ts4"}) }, "server ts2", Fail,
			"leads to ts4",
		},
		"other stops": {
			func(t *testing.T, e *Env, _ *tracker) { t.Helper(); other(t, e, &tracker{state: "service"}) }, "server ts2",
			Warn, "state service",
		},
		"clock is slow": {
			func(t *testing.T, e *Env, _ *tracker) { t.Helper(); other(t, e, &tracker{ahead: 10 * time.Second}) },
			"clock", Warn, "ts2 is 10s ahead",
		},
		"clock is wrong": {
			func(t *testing.T, e *Env, _ *tracker) { t.Helper(); other(t, e, &tracker{ahead: -time.Hour}) }, "clock",
			Fail, "ts2 is -1h0m0s ahead",
		},
		"clock was set": {func(t *testing.T, e *Env, _ *tracker) {
			t.Helper()
			file := filepath.Join(e.Config.DataDir, "x")
			if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour))); err != nil {
				t.Fatal(err)
			}
		}, "clock", Warn, "ahead of the clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, self := well(t)
			c.change(t, &e, self)
			findings := Examine(t.Context(), e)
			found := false
			for _, f := range findings {
				if f.Check == c.check && f.Level == c.level && strings.Contains(f.Found, c.found) && f.Advice != "" {
					found = true
				}
			}
			if !found {
				t.Errorf("got %+v, want %s %s with %q", findings, c.level, c.check, c.found)
			}
			if Worst(findings) == OK {
				t.Error("the worst is OK")
			}
		})
	}
}

// Checks that pass are reported as passed, also with several servers.
func TestServersWell(t *testing.T) {
	t.Parallel()
	e, _ := well(t)
	e.Config.Server.URL = e.LocalURL
	e.Config.Servers = []config.Server{{Name: "ts2", URL: serve(t, &tracker{name: "ts2"})}, {Name: "ts3", URL: serve(t,
		&tracker{name: "ts3", status: 429})}}
	findings := Examine(t.Context(), e)
	if Worst(findings) != OK || len(findings) != 15 || !strings.Contains(findings[14].Found, "agrees with 2 other") {
		t.Errorf("got %+v", findings)
	}
}

func TestThisHost(t *testing.T) {
	t.Parallel()
	h, dir := ThisHost(), t.TempDir()
	times, err := h.Sync(dir, 5)
	if err != nil || len(times) == 0 {
		t.Errorf("sync: got %v, %v", times, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := h.Sync(filepath.Join(dir, "absent"), 5); err == nil {
		t.Error("sync in a directory that is not there: got no error")
	}
	free, total, err := h.Free(dir)
	if err == nil && (free > total || total == 0) {
		t.Errorf("got %d free of %d", free, total)
	}
	if n, err := h.Files(); err == nil && n == 0 {
		t.Error("no open files")
	}
}

func TestOpsURL(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:8081": "http://127.0.0.1:8081", ":8081": "http://127.0.0.1:8081", "0.0.0.0:1": "http://127.0.0.1:1",
		"[::1]:2": "http://[::1]:2", "ops.example:3": "http://ops.example:3",
	} {
		if got := OpsURL(listen); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
}

func touch(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func chmod(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
}

func space(free, total uint64) func(string) (a, b uint64, err error) {
	return func(string) (a, b uint64, err error) { return free, total, nil }
}

func files(n uint64) func() (uint64, error) { return func() (uint64, error) { return n, nil } }

func trust(e *Env, prefix string) {
	e.Config.TrustedProxies = append(e.Config.TrustedProxies, netip.MustParsePrefix(prefix))
}
