package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Another user's store is not opened: the files written to it would be ours,
// and the other user could not read them.
func TestBelongs(t *testing.T) {
	t.Parallel()
	dir, me := t.TempDir(), os.Geteuid()
	for range 2 { // without a store, then with one
		if err := belongs(dir, me); err != nil {
			t.Errorf("one's own: %v", err)
		}
		err := belongs(dir, me+1)
		if err == nil {
			t.Fatal("another's: got no error")
		}
		contains(t, "another's", err.Error(), "use: sudo -u "+nameOf(uint32(me))+" trackway")
		if err := os.MkdirAll(filepath.Join(dir, "store"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := belongs(filepath.Join(dir, "absent"), me+1); err != nil {
		t.Errorf("nobody's: %v", err)
	}
	if got := nameOf(4_000_000_001); got != `\#4000000001` {
		t.Errorf("a user without a name: got %s", got)
	}
}

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
