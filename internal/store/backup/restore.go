package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
)

// Restore creates a store in dir from a backup: a generation, or the newest one
// in a directory of backups. dir must not exist or must be empty. Restore
// compares the files with what was written, and calls check on the copy, before
// the copy gets its final name. It only reads the backup. If it fails, it
// leaves nothing in dir. It refuses a backup whose format this program does not
// read.
//
// Cost: the backup is read and written once, in addition to check.
func Restore(
	ctx context.Context, f vfs.FS, backup, dir string, check func(dir string, seq uint64) error,
) (b Backup, err error) {
	generation, err := newest(f, backup)
	if err != nil {
		return b, err
	}
	list, err := readContents(f, generation)
	if err != nil {
		return b, err
	}
	if list.Format < format.Unkeyed || list.Format > format.Keyed {
		return b, fmt.Errorf("the backup is of format version %d, this program reads versions %d and %d only: restore it with the build that made it",
			list.Format, format.Unkeyed, format.Keyed)
	}
	if err := removeEmpty(f, dir); err != nil {
		return b, err
	}
	partial := dir + partialSuffix
	if err := f.RemoveAll(partial); err != nil {
		return b, err
	}
	if _, err := makeDir(f, partial); err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.RemoveAll(partial))
		}
	}()
	b = Backup{Path: generation, At: list.At, Seq: list.Seq, Files: len(list.Files), Copied: len(list.Files)}
	for _, file := range list.Files {
		if err := errors.Join(context.Cause(ctx), restoreFile(f, generation, partial, file)); err != nil {
			return b, err
		}
		b.Bytes += file.Bytes
	}
	if err := check(partial, list.Seq); err != nil {
		return b, err
	}
	return b, errors.Join(syncDir(f, partial), f.Rename(partial, dir), syncDir(f, f.PathDir(dir)))
}

// newest returns backup itself if it is a generation, or the newest generation
// in it.
func newest(f vfs.FS, backup string) (string, error) {
	names, err := f.List(backup)
	if err != nil {
		return "", err
	}
	if slices.Contains(names, contentsName) {
		return backup, nil
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := time.Parse(generationName, name)
		return err != nil
	})
	if len(names) == 0 {
		return "", errors.New("there is no backup in it")
	}
	return f.PathJoin(backup, slices.Max(names)), nil
}

// removeEmpty removes dir if it is empty, and fails if it is not.
func removeEmpty(f vfs.FS, dir string) error {
	names, err := f.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is not empty: nothing is overwritten", dir)
	}
	return f.Remove(dir)
}

func restoreFile(f vfs.FS, from, to string, file File) error {
	if file.Name != f.PathBase(file.Name) {
		return fmt.Errorf("%w: it names a file %q", ErrDamaged, file.Name)
	}
	sum, err := copyFile(f, f.PathJoin(from, file.Name), f.PathJoin(to, file.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	} else if err != nil {
		return err
	}
	if file.SHA256 != "" && sum != file.SHA256 {
		return fmt.Errorf("%w: %s is not what was written", ErrDamaged, file.Name)
	}
	info, err := f.Stat(f.PathJoin(to, file.Name))
	if err == nil && info.Size() != file.Bytes {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", ErrDamaged, file.Name, info.Size(), file.Bytes)
	}
	return err
}
