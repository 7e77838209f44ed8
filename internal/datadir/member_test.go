package datadir

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/config/membership"
	"trackway/internal/store"
)

// TestMemberDir: the store of a server that stood alone becomes that of a
// member, once.
func TestMemberDir(t *testing.T) {
	t.Parallel()
	data, log := t.TempDir(), slog.New(slog.DiscardHandler)
	alone := filepath.Join(data, Store)
	if err := os.Mkdir(alone, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dir, err := Member(data, 0, 1, membership.Raft, log)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, State)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(alone); err == nil {
			t.Error("the store is still there")
		}
	}
	for _, dir := range []string{alone, filepath.Join(data, Partition, Log)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Member(data, 0, 1, membership.Raft, log); err == nil || !strings.Contains(err.Error(), "move one of them away") {
		t.Errorf("got %v for two stores", err)
	}
}

// TestMemberDirInUse: the store of a server that runs stays where it is.
func TestMemberDirInUse(t *testing.T) {
	t.Parallel()
	data, log := t.TempDir(), slog.New(slog.DiscardHandler)
	alone := filepath.Join(data, Store)
	s, err := store.Open(alone, store.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Member(data, 0, 1, membership.Raft, log); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v, want %v", err, store.ErrInUse)
	}
	if _, err := os.Stat(alone); err != nil {
		t.Error(err)
	}
	if err := CheckAlone(data, 1); err != nil {
		t.Errorf("the server cannot start any more: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Member(data, 0, 1, membership.Raft, log); err != nil {
		t.Error(err)
	}
	if err := CheckAlone(data, 1); err == nil {
		t.Error("a server that stands alone would start without its data")
	}
}

// TestMemberDirs: each partition of a server that stood alone becomes one of a
// member. Afterwards, none of them may be missing, and the number is the same.
func TestMemberDirs(t *testing.T) {
	t.Parallel()
	const n = 3
	data, log := t.TempDir(), slog.New(slog.DiscardHandler)
	if err := Claim(data, n); err != nil {
		t.Fatal(err)
	}
	for part := range n {
		dir := StoreOf(data, part, n)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Made(data, n); err != nil {
		t.Fatal(err)
	}
	for part := range n {
		for range 2 { // the second time, it is done
			if err := Fits(data, n); err != nil {
				t.Errorf("before partition %d: %v", part, err)
			}
			dir, err := Member(data, part, n, membership.Raft, log)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, State, "file")); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(DestinationsOf(data, part, n)); err != nil {
			t.Errorf("what its destinations keep is not entrusted to the cluster: %v", err)
		}
	}
	if err := CheckAlone(data, 1); err == nil {
		t.Error("a server that stands alone would start without its data")
	}
	for _, other := range []int{1, 2} {
		if err := Fits(data, other); err == nil {
			t.Errorf("it would start with %d partitions", other)
		}
	}
	state := filepath.Join(data, "p01", State)
	for _, to := range []string{".replaced", ".lost"} { // a crash may have left the first one
		if err := os.Rename(state, state+to); err != nil {
			t.Fatal(err)
		}
		if err := Fits(data, n); (err != nil) != (to == ".lost") {
			t.Errorf("with %s: got %v", to, err)
		}
		if err := os.Rename(state+to, state); err != nil {
			t.Fatal(err)
		}
	}
}
