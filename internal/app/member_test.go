package app

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/config/membership"
	"trackway/internal/datadir"
	"trackway/internal/query"
	"trackway/internal/store"
)

// TestMemberDir: the store of a server that stood alone becomes that of a
// member, once.
func TestMemberDir(t *testing.T) {
	t.Parallel()
	data, log := t.TempDir(), slog.New(slog.DiscardHandler)
	alone := filepath.Join(data, datadir.Store)
	if err := os.Mkdir(alone, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dir, err := memberDir(data, membership.Raft, log)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, datadir.State)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(alone); err == nil {
			t.Error("the store is still there")
		}
	}
	for _, dir := range []string{alone, filepath.Join(data, datadir.Partition, datadir.Log)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := memberDir(data, membership.Raft, log); err == nil || !strings.Contains(err.Error(), "move one of them away") {
		t.Errorf("got %v for two stores", err)
	}
}

// TestMemberDirInUse: the store of a server that runs stays where it is.
func TestMemberDirInUse(t *testing.T) {
	t.Parallel()
	data, log := t.TempDir(), slog.New(slog.DiscardHandler)
	alone := filepath.Join(data, datadir.Store)
	s, err := store.Open(alone, store.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := memberDir(data, membership.Raft, log); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v, want %v", err, store.ErrInUse)
	}
	if _, err := os.Stat(alone); err != nil {
		t.Error(err)
	}
	if err := checkAlone(data); err != nil {
		t.Errorf("the server cannot start any more: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := memberDir(data, membership.Raft, log); err != nil {
		t.Error(err)
	}
	if err := checkAlone(data); err == nil {
		t.Error("a server that stands alone would start without its data")
	}
}

// TestRefusals: refused commands of a project and day become one entry.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const morning, tomorrow = 3*day + 5, 4*day + 1
	s, err := store.Open(t.TempDir(), store.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	project := []trackway.Project{{Name: "demo", Token: "t"}}
	if err := s.Register(project); err != nil {
		t.Fatal(err)
	}
	before := s.Replica().Applied()
	var r refusals
	to := gathering{s, &r}
	for range 100 {
		for _, at := range []trackway.Micros{morning, tomorrow} {
			if err := to.Refused(1, at, 2); err != nil {
				t.Error(err)
			}
		}
	}
	for range 2 { // the second time, there is nothing
		if err := r.save(s); err != nil {
			t.Error(err)
		}
	}
	if n := s.Replica().Applied() - before; n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	snapshot := s.Snapshot()
	refused := uint64(0)
	err = snapshot.Usage(1, func(_ query.Day, u query.Usage) bool { refused += u.Refused; return true })
	if err != nil || refused != 400 {
		t.Errorf("%d are counted, want 400 (%v)", refused, err)
	}
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
