package member

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"trackway/internal/config/membership"
	"trackway/internal/datadir"
	"trackway/internal/datadir/held"
	files "trackway/internal/destination/kept"
	"trackway/internal/log/raft"
	"trackway/internal/porttest"
)

// TestBeginWith: if it is not known whether a log has begun with the data of
// another one, its destinations wait for a decision, in case it has.
func TestBeginWith(t *testing.T) {
	t.Parallel()
	for why, want := range map[error]bool{nil: true, raft.ErrUnknown: true, raft.ErrMember: false} {
		dir := t.TempDir()
		for range 2 { // which changes nothing
			if err := beginWith(dir, func() error { return why }); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
		}
		if got := files.Entrusted(dir); got != want {
			t.Errorf("%v: got %v, want %v", why, got, want)
		}
	}
}

// TestNotMounted: a start that fails notes nothing about a partition whose disk
// is not mounted: its data would be removed at the next start, when it is there
// again. A start that fails later leaves the port free.
func TestNotMounted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	const n = 3
	if err := errors.Join(datadir.Claim(dir, n), datadir.Made(dir, n)); err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{"p00/log/log", "p00/state/store", "p01/state/store"} {
		if err := os.MkdirAll(filepath.Join(dir, there), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	at := porttest.Address(t)
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Cluster: membership.Cluster{Log: membership.Raft, Listen: at, Advertise: at}, DataDir: dir, Partitions: n, Log: slog.New(slog.DiscardHandler),
	}
	if _, _, err := Open(t.Context(), o); err == nil {
		t.Fatal("it has begun, on a port that is taken")
	}
	if _, err := os.Stat(filepath.Join(dir, held.File)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has noted what is missing: %v", err)
	}
	if err := errors.Join(l.Close(), os.RemoveAll(filepath.Join(dir, "p00", "state"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), o); err == nil {
		t.Fatal("it has begun without its first partition")
	}
	if l, err = net.Listen("tcp", at); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
