package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// MaxFileBytes is the most that a file with a secret may contain. A larger file
// is not the one that was meant.
const MaxFileBytes = 64 << 10

// Unread stands for the text of a file that only the server reads.
const Unread = "the server reads it"

// Read returns the secret in a file, without one line break at its end, and the
// file's mode. The error completes a sentence that begins with the file's name,
// such as "is empty". It contains nothing of the file.
func Read(path string) (text string, mode fs.FileMode, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a pipe would wait for a writer
	if err != nil {
		return "", 0, unreadable(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", 0, unreadable(err)
	case info.IsDir():
		return "", 0, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return "", 0, errors.New("is not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	switch {
	case err != nil:
		return "", 0, unreadable(err)
	case len(b) > MaxFileBytes:
		return "", 0, fmt.Errorf("has more than %d KiB", MaxFileBytes>>10)
	case !utf8.Valid(b):
		return "", 0, errors.New("is not UTF-8 text")
	}
	text = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if text == "" {
		return "", 0, errors.New("is empty")
	}
	return text, info.Mode(), nil
}

// unreadable leaves the path out of an error.
func unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("does not exist")
	}
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// Exposed reports whether users other than the owner and the group may read a
// file, or whether others than the owner may change it.
func Exposed(mode fs.FileMode) bool {
	const others, groupWrites = 0o007, 0o020
	return mode.Perm()&(others|groupWrites) != 0
}
