//go:build unix

package engine

import "syscall"

// openFiles returns how many files this process may open.
func openFiles() (uint64, error) {
	var l syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return uint64(l.Cur), err //nolint:unconvert,nolintlint // it is signed on some systems
}
