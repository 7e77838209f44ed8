package app

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/people"
)

// TestOtherDataDirectory checks that users of the data directory of the next
// start, where those in force may be missing, do not replace them.
func TestOtherDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "t.yaml"), filepath.Join(dir, "other")
	text := "projects: [{name: shop, token: 12345678-1234-1234-1234-123456789abc, keys: [{name: web, kind: public, token: web-token-12345678}]}]\n" +
		"data_dir: " + other + "\n"
	if err := errors.Join(os.Mkdir(other, 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := &server{Setup: Setup{
		Config: &config.Config{DataDir: dir}, Log: slog.New(slog.DiscardHandler),
		Load: func() (*config.Config, error) { return &config.Config{DataDir: other}, nil },
		Change: func(do func(*config.Keys) error, use func() error) (*config.Config, error) {
			return config.Change(path, config.Flags{}, do, use)
		},
	}}
	refused := func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "names another data directory")
	}
	if err := s.reloadUsers("root"); !refused(err) {
		t.Errorf("read again: got %v", err)
	}
	change := func(people.List) (people.List, error) {
		t.Error("they are changed")
		return nil, nil
	}
	if err := s.changeUsers(t.Context(), change); !refused(err) {
		t.Errorf("changed: got %v", err)
	}
}

// TestReloadWaits checks that a reload waits for a change of users: what the
// change has read may be older than what the reload puts in force.
func TestReloadWaits(t *testing.T) {
	t.Parallel()
	const blink = 50 * time.Millisecond
	loaded, wrong := make(chan bool, 1), errors.New("wrong")
	s := &server{Setup: Setup{Log: slog.New(slog.DiscardHandler), Load: func() (*config.Config, error) {
		loaded <- true
		return nil, wrong
	}}}
	s.Change = func(func(*config.Keys) error, func() error) (*config.Config, error) {
		go func() { _ = s.reload(audit.Ops) }()
		select {
		case <-loaded:
			t.Error("the reload overtakes the change")
			loaded <- true
		case <-time.After(blink):
		}
		return nil, wrong
	}
	if err := s.changeUsers(t.Context(), nil); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	<-loaded
}
