//go:build unix && !solaris && !aix

package client

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile locks a file for as long as it is open. The system releases the lock
// when the process ends, however it ends.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, ownerFile)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return flock{f}, nil
}

// flock is a locked file.
type flock struct{ *os.File }

// Close releases the lock and closes the file. Closing the file is not enough
// while the program starts another one: between fork and exec the child has the
// file open too, and the lock lasts until all descriptors are closed
// (flock(2)).
func (f flock) Close() error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.File.Close())
}
