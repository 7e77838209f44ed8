package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// killedBackup leaves in the store's directory what a killed backup leaves
// there.
func killedBackup(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.Checkpoint(s.staging(), pebble.WithFlushedWAL()); err != nil {
		t.Fatal(err)
	}
}

// TestKilledBackup: both opening the store and a clean-up remove the remains of
// a killed backup, because they may contain erased data.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustApply(t, s, update(1, nil, reg1))
	killedBackup(t, s)
	mustErase(t, s, 1)
	mustCleanUp(t, s, 1)
	if _, err := fs.Stat(s.staging()); err == nil {
		t.Error("the clean-up left what a killed backup had left")
	}
	killedBackup(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	defer func() { _ = s.Close() }()
	if _, err := fs.Stat(s.staging()); err == nil {
		t.Error("opening left what a killed backup had left")
	}
}

// TestName: a store keeps the name with which it was first opened.
func TestName(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	for _, name := range []string{"", "first", "second"} {
		s, err := Open("data", Options{FS: fs, Cache: 1 << 20, Name: name, Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "first"}[name != ""]; s.Name() != want {
			t.Errorf("opened with %q it is %q, want %q", name, s.Name(), want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
