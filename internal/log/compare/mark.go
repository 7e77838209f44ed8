package compare

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markFile is the file that keeps a server from starting after its state was
// found to differ.
const markFile = "DIFFERS"

// Mark writes the file that keeps this server from starting, into the directory
// of its log. It returns why, and what went wrong with the file. fs may be nil.
func Mark(fs vfs.FS, dir string, why error) error {
	if err := mark(fileSystem(fs), dir, why.Error()+"\n"); err != nil {
		return errors.Join(why, err)
	}
	return why
}

func mark(fs vfs.FS, dir, text string) error {
	f, err := fs.Create(fs.PathJoin(dir, markFile), "unspecified")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Check returns an error if the state of this server was found to differ, or if
// nobody can tell. fs may be nil.
func Check(fs vfs.FS, dir string) error {
	fs = fileSystem(fs)
	name := fs.PathJoin(dir, markFile)
	f, err := fs.Open(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err // it may be there
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	return errors.Join(fmt.Errorf("%w: %s says: %s", ErrDiffers, name, text), err, f.Close())
}

func fileSystem(fs vfs.FS) vfs.FS {
	if fs == nil {
		return vfs.Default
	}
	return fs
}
