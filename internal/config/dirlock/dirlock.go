// Package dirlock locks a directory between processes, and says whether its
// user may leave files in it.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Dir is a locked directory.
type Dir struct{ file *os.File }

// Lock waits until no other process has locked a directory, and locks it
// (flock(2)). It creates a missing one.
func Lock(path string) (*Dir, error) {
	const private = 0o700
	if err := os.MkdirAll(path, private); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return &Dir{dir}, nil
}

// Unlock unlocks the directory.
func (d *Dir) Unlock() error { return d.file.Close() }

// Owner returns the owner of the directory, who must own each file in it too.
// It is an error if that is another user, whose server could not read a file of
// this one. Root can give its file away.
func (d *Dir) Owner() (*syscall.Stat_t, error) {
	var owner syscall.Stat_t
	if err := syscall.Fstat(int(d.file.Fd()), &owner); err != nil {
		return nil, err
	}
	if uid := os.Geteuid(); uid != 0 && uid != int(owner.Uid) {
		return nil, fmt.Errorf("%s belongs to another user: run this command as that user, or as root", d.file.Name())
	}
	return &owner, nil
}
