package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Every command that opens the store by itself checks who owns it. Only root
// can make a store of another user.
func TestStoreOfAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a directory that is another user's")
	}
	dir := t.TempDir()
	config, data, rows := filepath.Join(dir, "t.yaml"), filepath.Join(dir, "data"), filepath.Join(dir, "rows.ndjson")
	runs(t, fine, "init", "--config", config)
	for _, made := range []string{data, filepath.Join(data, "store")} {
		if err := os.Mkdir(made, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const another = 4_000_000
	if err := os.WriteFile(rows, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(data, "store"), another, another); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"import", rows}, {"export"}, {"backup", filepath.Join(dir, "backups")}} {
		_, stderr := runs(t, failed, append(args, "--config", config, "--data", data)...)
		contains(t, args[0], stderr, `sudo -u \#4000000 trackway`)
	}
	if left, err := os.ReadDir(filepath.Join(data, "store")); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v in the store, want nothing", left, err)
	}
}
