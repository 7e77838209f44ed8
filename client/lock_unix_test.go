//go:build unix && !solaris && !aix

package client

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestLockIsLetGo checks that a copy of the file's descriptor, such as a child
// has between fork and exec, does not keep the lock.
func TestLockIsLetGo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := lockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(lock.(flock).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(child) }()
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockFile(path)
	if err != nil {
		t.Fatalf("the lock is still held: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
