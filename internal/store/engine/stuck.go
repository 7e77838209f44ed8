package engine

import (
	"errors"
	"fmt"
	"syscall"
)

// Why a store that cannot write is not ready.
var (
	errFull  = errors.New("the disk is full: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")
	errFiles = errors.New("too many files are open: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")
)

// IsFull reports whether an error says that there is no room on the disk.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func isFiles(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// Unready returns what is told of a store that cannot write, by the error that
// [Options.Stuck] got.
func Unready(err error) error {
	switch {
	case IsFull(err):
		return errFull
	case isFiles(err):
		return errFiles
	}
	return fmt.Errorf("tables cannot be written: %w", err)
}

// Advice returns what an operator can do about such an error.
func Advice(err error) string {
	switch {
	case IsFull(err):
		return "the disk is full: free some space"
	case isFiles(err):
		return "too many files are open: raise the limit, or close connections"
	}
	return "the store cannot write: it is tried again each second"
}
