package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"trackway/internal/destination/object"
)

// folder is a directory as an [object.Bucket] and [object.Appender]. It writes
// new contents into files in unfinished/, and names them once they are on the
// disk.
type folder struct {
	root string

	// step is called before each operation that changes the disk. Tests make it
	// fail.
	step func(op string) error
}

const (
	unfinished = ".unfinished"
	lockName   = ".lock"
	perm       = 0o640 // of files: they hold personal data, so only the owner and the group may read them
	dirPerm    = 0o750
)

func (f *folder) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

// makeRoot creates the folder.
func (f *folder) makeRoot() error {
	if err := f.step("mkdir"); err != nil {
		return err
	}
	if err := os.MkdirAll(f.path(unfinished), dirPerm); err != nil {
		return err
	}
	return f.syncDir(filepath.Dir(f.root))
}

// removeUnfinished removes what a crash left in the folder for new files.
func (f *folder) removeUnfinished() error {
	entries, err := os.ReadDir(f.path(unfinished))
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(f.path(unfinished), e.Name()))) //nolint:gosec // the operator names the folder
	}
	return err
}

func tagOf(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// Get implements [object.Bucket].
func (f *folder) Get(ctx context.Context, name string) (data []byte, tag string, err error) {
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	data, err = os.ReadFile(f.path(name))
	return data, tagOf(data), err
}

// Create implements [object.Bucket].
func (f *folder) Create(ctx context.Context, name string, data []byte) (tag string, err error) {
	return tagOf(data), f.write(ctx, name, data, os.Link) // a link does not replace
}

// Replace implements [object.Bucket].
func (f *folder) Replace(ctx context.Context, name, tag string, data []byte) (newTag string, err error) {
	_, have, err := f.Get(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil || have != tag {
		return "", object.ErrChanged
	}
	return tagOf(data), f.write(ctx, name, data, os.Rename)
}

// write creates a file with data, and gives it its name by calling place.
func (f *folder) write(ctx context.Context, name string, data []byte, place func(from, to string) error) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	path := f.path(name)
	if err := f.makeParent(path); err != nil {
		return err
	}
	if err := f.step("create"); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.path(unfinished), "*")
	if err != nil {
		return err
	}
	defer func() { // after a rename, there is nothing left to remove
		if rmErr := os.Remove(tmp.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err := f.fill(tmp, 0, data); err != nil {
		return err
	}
	if err := f.step("place"); err != nil {
		return err
	}
	if err := place(tmp.Name(), path); err != nil {
		return plain(err)
	}
	return f.syncDir(filepath.Dir(path))
}

// plain removes the temporary name from an error, because it means nothing to
// users.
func plain(err error) error {
	if link := (*os.LinkError)(nil); errors.As(err, &link) {
		return fmt.Errorf("%s: %w", link.New, link.Err)
	}
	return err
}

// fill writes data at an offset, waits until it is on the disk, and closes the
// file. After a failure, the file may hold a part of the data.
func (f *folder) fill(file *os.File, offset int64, data []byte) error {
	err := f.step("write")
	if err != nil && len(data) > 1 { // as a full disk does
		_, partErr := file.WriteAt(data[:len(data)/2], offset)
		err = errors.Join(err, partErr)
	}
	if err == nil {
		_, err = file.WriteAt(data, offset)
	}
	if err == nil {
		err = file.Chmod(perm)
	}
	return errors.Join(err, f.syncAndClose(file, err == nil))
}

func (f *folder) syncAndClose(file *os.File, sync bool) error {
	var err error
	if sync {
		if err = f.step("sync"); err == nil {
			err = file.Sync()
		}
	}
	return errors.Join(err, file.Close())
}

// makeParent creates the directories above a file. Each is durable before the
// next.
func (f *folder) makeParent(path string) error {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if dir != f.root {
		if err := f.makeParent(dir); err != nil {
			return err
		}
	}
	if err := f.step("mkdir"); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(filepath.Dir(dir))
}

// syncDir makes names in a directory durable.
func (f *folder) syncDir(dir string) error {
	if err := f.step("sync directory"); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Append implements [object.Appender].
func (f *folder) Append(_ context.Context, name string, size int64, data []byte) error {
	file, err := os.OpenFile(f.path(name), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return object.ErrChanged
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != size {
		err = object.ErrChanged
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	return f.fill(file, size, data)
}

// Truncate implements [object.Appender].
func (f *folder) Truncate(_ context.Context, name string, size int64) error {
	file, err := os.OpenFile(f.path(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err = f.step("truncate"); err == nil {
		err = file.Truncate(size)
	}
	return errors.Join(err, f.syncAndClose(file, err == nil))
}

// Delete implements [object.Bucket]. It removes directories that become empty.
func (f *folder) Delete(_ context.Context, name string) error {
	if err := f.step("remove"); err != nil {
		return err
	}
	path := f.path(name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// This is necessary even if the file is gone: an earlier call may have
	// failed here.
	dir := filepath.Dir(path)
	if err := f.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir != f.root && syscall.Rmdir(dir) == nil { // it fails if the directory is not empty, or is a link
		dir = filepath.Dir(dir)
	}
	return nil
}

// List implements [object.Bucket].
func (f *folder) List(ctx context.Context, prefix string, yield func(name string) bool) error {
	// The final dot makes WalkDir follow a link, if the folder is one.
	err := filepath.WalkDir(f.path(prefix)+"/.", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(f.root, path)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if name = filepath.ToSlash(name); strings.HasPrefix(filepath.Base(name), ".") || yield(name) {
			return nil
		}
		return io.EOF
	})
	if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
