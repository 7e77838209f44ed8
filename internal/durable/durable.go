// Package durable writes whole files that survive a power cut. A file gets its
// name only when all of it is on the disk, and the call returns only when the
// name is on the disk too. So after a crash, a reader finds the old file, no
// file, or the new one, never a part. The package is for files that are rarely
// written, such as the configuration or an export, because a call costs two
// disk syncs. It does not append, lock, or make directories.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Create writes data to a new file with the given permissions, whatever the
// umask. If path already exists, even as a dangling symbolic link, the error is
// [fs.ErrExist] and nothing changes. One of several concurrent calls succeeds.
// The file system must support hard links.
func Create(path string, data []byte, perm fs.FileMode) error {
	// Creating a hard link fails atomically if the name is taken; a rename
	// would replace the file. If we opened path with O_EXCL, a crash could
	// leave a partial file, and then it could never be created again.
	w := writer{place: os.Link, sync: (*os.File).Sync}
	return w.write("create", path, data, perm)
}

// Replace writes data to path with the given permissions, whatever the umask.
// It replaces an existing file. Readers see the old content or the new. It
// replaces a symbolic link itself, not its target.
func Replace(path string, data []byte, perm fs.FileMode) error {
	w := writer{place: os.Rename, sync: (*os.File).Sync}
	return w.write("replace", path, data, perm)
}

// ReplaceWith is [Replace] for a file that is written piece by piece, of any
// size. Until write has returned, and after an error, path is unchanged.
func ReplaceWith(path string, perm fs.FileMode, write func(io.Writer) error) error {
	w := writer{place: os.Rename, sync: (*os.File).Sync}
	return w.writeWith("replace", path, perm, write)
}

// Clean removes what an end of the process has left of unfinished writes to
// path. REQUIRES: nobody writes to path.
func Clean(path string) error {
	dir, prefix := filepath.Dir(path), unfinished(path)
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), prefix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, f.Name())))
		}
	}
	return err
}

// unfinished returns how the names of files begin that become path.
func unfinished(path string) string { return "." + filepath.Base(path) + ".tmp-" }

// writer has the two steps that tests watch or make fail.
type writer struct {
	place func(from, to string) error // gives a finished file its name
	sync  func(f *os.File) error      // returns when the file or directory is on the disk
}

func (w writer) write(op, path string, data []byte, perm fs.FileMode) error {
	return w.writeWith(op, path, perm, func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

func (w writer) writeWith(op, path string, perm fs.FileMode, write func(io.Writer) error) error {
	if err := w.writeVia(path, perm, write); err != nil {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	return nil
}

func (w writer) writeVia(path string, perm fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, unfinished(path)+"*") // mode 0600 until it is complete
	if err != nil {
		return err
	}
	defer func() { // after a rename, there is nothing left to remove
		if rmErr := os.Remove(tmp.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err := w.fill(tmp, perm, write); err != nil {
		return err
	}
	if err := w.place(tmp.Name(), path); err != nil {
		if link := (*os.LinkError)(nil); errors.As(err, &link) {
			err = link.Err // without the temporary name, which means nothing to the user
		}
		return err
	}
	return w.syncDir(dir)
}

// fill writes, syncs, and closes f.
func (w writer) fill(f *os.File, perm fs.FileMode, write func(io.Writer) error) error {
	err := write(f)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = w.sync(f)
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the new name durable: until the directory is synced, a power
// cut may undo a link or a rename.
func (w writer) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(w.sync(d), d.Close())
}
