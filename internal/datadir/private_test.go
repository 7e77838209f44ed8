package datadir

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

)

// TestPrivateDir: the store's directory is closed to other users at start. A
// data directory that is open to them is only reported.
func TestPrivateDir(t *testing.T) {
	t.Parallel()
	for mode, warned := range map[os.FileMode]bool{0o755: true, 0o700: false} {
		data := t.TempDir()
		if err := os.Chmod(data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(data, Store), 0o755); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		dir, err := Private(data, Store, slog.New(slog.NewTextHandler(&text, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the store's directory is %v, %v", info.Mode(), err)
		}
		if got := text.Len() > 0; got != warned {
			t.Errorf("a data directory of mode %v: warned %v, want %v: %s", mode, got, warned, text.String())
		}
	}
	missing := filepath.Join(t.TempDir(), "a", "data")
	if _, err := Private(missing, Store, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(missing); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a data directory that was missing is %v, %v", info.Mode(), err)
	}
}
