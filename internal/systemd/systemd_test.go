package systemd

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// watched runs a unit that is ready after a time, until the end of a service,
// and returns what systemd heard.
func watched(t *testing.T, watchdog, ready, end time.Duration, alive func() error) string {
	t.Helper()
	var heard []string
	u := Unit{Send: func(state string) { heard = append(heard, state) }, Watchdog: watchdog}
	ctx, cancel := context.WithTimeout(t.Context(), end)
	defer cancel()
	open := make(chan struct{})
	time.AfterFunc(ready, func() { close(open) })
	u.Run(ctx, open, func(time.Duration) error { return alive() })
	return strings.Join(heard, " ")
}

func TestRun(t *testing.T) {
	t.Parallel()
	const more = "EXTEND_TIMEOUT_USEC=60000000"
	well := func() error { return nil }
	ill := func() error { return errors.New("no answer") }
	for name, test := range map[string]struct {
		watchdog, ready, end time.Duration
		alive                func() error
		want                 string
	}{
		"a long start":           {0, 25 * time.Second, time.Hour, well, more + " " + more + " " + more + " READY=1 STOPPING=1"},
		"no start":               {time.Minute, time.Hour, 15 * time.Second, well, more + " " + more + " STOPPING=1"},
		"a watchdog":             {30 * time.Second, time.Second, 25 * time.Second, well, more + " READY=1 WATCHDOG=1 WATCHDOG=1 STOPPING=1"},
		"one that does not bite": {30 * time.Second, time.Second, 25 * time.Second, ill, more + " READY=1 STOPPING=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got := watched(t, test.watchdog, test.ready, test.end, test.alive); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		})
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	hears, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer hears.Close()
	env := func(vars map[string]string) func(string) string {
		return func(name string) string { return vars[name] }
	}
	if u := New(env(nil), 7); u != nil {
		t.Errorf("without systemd: got %v, want nil", u)
	}
	u := New(env(map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}), 7)
	if u.Watchdog != 30*time.Second {
		t.Errorf("got a watchdog of %v, want 30s", u.Watchdog)
	}
	u.Send("READY=1")
	b := make([]byte, 100)
	if n, err := hears.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("systemd hears %q, %v, want READY=1", b[:n], err)
	}
	if u := New(env(map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}), 7); u.Watchdog != 0 {
		t.Errorf("got a watchdog of %v, which is another process's", u.Watchdog)
	}
	New(env(map[string]string{"NOTIFY_SOCKET": filepath.Join(dir, "absent")}), 7).Send("READY=1") // goes nowhere
}
