// Package backup keeps copies of a store's directory, from one to the next sharing what has not changed. Its one idea: a
// generation is a directory that is a store by itself; it is made under another name and gets its own, the time, last and in
// one step, so that one that has it is whole. Tables never change once they are written, so that generations that share one
// share the file, by a hard link.
//
// It knows files, not what is in them: whether a copy is a store its user tells.
package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/seal"
)

// What is in a directory of backups.
const (
	generationName = "20060102T150405.000000Z"
	partialSuffix  = ".partial"    // of what is being made or removed
	contentsName   = "backup.json" // what a generation holds, so that damage is found
)

// Backup tells of one backup of a store, or of what was restored from it.
type Backup struct {
	Path        string    // of this generation
	At          time.Time // when it was made
	Seq         uint64    // of the last event in it: all before that are in it, too
	Bytes       int64     // of all its files
	Files       int       // all of them: those that follow, together
	Kept        int       // shared with the generation before
	Linked      int       // shared with the running store: they take no space of their own while that keeps them
	Copied      int       // written anew
	Generations int       // in the directory, after a backup
}

// contentsList is what the file backup.json says.
type contentsList struct {
	Format int         `json:"format"`
	Store  string      `json:"store"` // the name of the store that it is of; empty: not known
	At     time.Time   `json:"at"`
	Seq    uint64      `json:"seq"`
	Files  []savedFile `json:"files"`
}

// savedFile is one file of a generation. Tables have checksums of their own in each block; the others are small.
type savedFile struct {
	Name     string `json:"name"`
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"`         // of the store's file, in nanoseconds: with name and size it tells a table from all others
	SHA256   string `json:"sha256,omitempty"` // not of tables
}

// Source is the store that is to be copied.
type Source struct {
	FS         vfs.FS
	Format     int                                    // version of its format
	Store      string                                 // a name that no other store has; empty: not known
	Staging    string                                 // a directory that Checkpoint makes, on the store's file system
	Checkpoint func(dir string) error                 // has a consistent copy in dir, of hard links to tables and copies of all else
	Check      func(dir string) (seq uint64, e error) // whether the store in dir opens; its last event
}

// Make copies the store into dir, which holds backups of this store only, as a new generation of the time at, and removes the
// oldest until keep of them, at least one, are left. The copy is checked before it gets its name; whatever goes wrong, the
// generations that were there stay. [ErrInUse]: another backup into dir is being made. [ErrForeign]: dir
// holds backups of another store.
//
// Cost: the tables that are new since the last generation are linked, or copied where dir is on another file system.
func Make(ctx context.Context, src Source, dir string, at time.Time, keep int) (b Backup, err error) {
	made, err := makeDir(src.FS, dir)
	if err != nil {
		return b, err
	}
	const lockName = "LOCK"
	lock, err := src.FS.Lock(src.FS.PathJoin(dir, lockName))
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	defer func() {
		if err = errors.Join(err, lock.Close()); err != nil && len(made) > 0 {
			_ = src.FS.Remove(src.FS.PathJoin(dir, lockName))
			for _, empty := range made {
				_ = src.FS.Remove(empty) // it stays if something is in it
			}
		}
	}()
	generations, err := tidy(src.FS, dir, src.Store)
	if err != nil {
		return b, err
	}
	if b, err = add(ctx, src, dir, generations.names, at); err != nil {
		return b, err
	}
	whole := append(generations.whole, src.FS.PathBase(b.Path))
	for ; len(whole) > max(keep, 1); whole = whole[1:] {
		if err := removeWhole(src.FS, src.FS.PathJoin(dir, whole[0])); err != nil {
			return b, fmt.Errorf("remove an old generation: %w", err)
		}
	}
	b.Generations = len(whole)
	return b, nil
}

// add makes a generation after those that are there.
func add(ctx context.Context, src Source, dir string, generations []string, at time.Time) (b Backup, err error) {
	if err := src.FS.RemoveAll(src.Staging); err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, src.FS.RemoveAll(src.Staging)) }()
	if err := src.Checkpoint(src.Staging); err != nil {
		return b, err
	}
	c := copier{Source: src, to: src.FS.PathJoin(dir, nameAfter(generations, at))}
	if n := len(generations); n > 0 {
		if err := c.before(src.FS.PathJoin(dir, generations[n-1])); err != nil {
			return b, err
		}
	}
	if b, err = c.generation(ctx); err != nil {
		return b, errors.Join(err, src.FS.RemoveAll(c.to+partialSuffix))
	}
	return b, nil
}

// nameAfter returns the name of a generation that is made now. Should the clock have gone back, the order stays.
func nameAfter(generations []string, at time.Time) string {
	at = at.UTC()
	if n := len(generations); n > 0 {
		last, _ := time.Parse(generationName, generations[n-1]) // tidy has parsed it
		if !at.Truncate(time.Microsecond).After(last) {
			at = last.Add(time.Microsecond)
		}
	}
	return at.Format(generationName)
}

// generations is what in a directory is named as generations are, the oldest first.
type generations struct {
	names []string
	whole []string // those of them that say what they hold; of what does not, nothing is removed
}

// tidy lists the generations in dir and removes what a crash has left half done: nothing but what is named so. Where another store's
// are among them it removes nothing, and returns [ErrForeign].
func tidy(f vfs.FS, dir, store string) (found generations, err error) {
	names, err := f.List(dir)
	if err != nil {
		return found, err
	}
	var partial []string
	for _, name := range names {
		generation, cut := strings.CutSuffix(name, partialSuffix)
		if _, bad := time.Parse(generationName, generation); bad != nil {
			continue
		}
		if cut {
			partial = append(partial, name)
		} else {
			found.names = append(found.names, name)
		}
	}
	slices.Sort(found.names)
	for _, name := range found.names {
		list, err := readContents(f, f.PathJoin(dir, name))
		if errors.Is(err, ErrDamaged) {
			continue
		} else if err != nil {
			return found, err
		}
		if list.Store != "" && store != "" && list.Store != store {
			return found, ErrForeign
		}
		found.whole = append(found.whole, name)
	}
	for _, name := range partial {
		err = errors.Join(err, f.RemoveAll(f.PathJoin(dir, name)))
	}
	return found, err
}

// removeWhole takes the name away first, so that no part of a generation is ever taken for one.
func removeWhole(f vfs.FS, dir string) error {
	if err := f.Rename(dir, dir+partialSuffix); err != nil {
		return err
	}
	return errors.Join(syncDir(f, f.PathDir(dir)), f.RemoveAll(dir+partialSuffix))
}

// copier makes a generation out of a checkpoint.
type copier struct {
	Source

	to       string
	previous string               // the generation before, empty where there is none
	has      map[string]savedFile // its files
	made     Backup
}

// before has the copier share what it can with the generation in dir. One that cannot be read is left alone.
func (c *copier) before(dir string) error {
	list, err := readContents(c.FS, dir)
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	c.previous, c.has = dir, make(map[string]savedFile, len(list.Files))
	for _, f := range list.Files {
		c.has[f.Name] = f
	}
	return err
}

func (c *copier) generation(ctx context.Context) (Backup, error) {
	partial := c.to + partialSuffix
	if err := c.FS.MkdirAll(partial, dirMode); err != nil {
		return Backup{}, err
	}
	names, err := c.FS.List(c.Staging)
	if err != nil {
		return Backup{}, err
	}
	slices.Sort(names)
	list := contentsList{Format: c.Format, Store: c.Store}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return Backup{}, err
		}
		f, err := c.file(name, partial)
		if err != nil {
			return Backup{}, err
		}
		list.Files = append(list.Files, f)
		c.made.Bytes += f.Bytes
	}
	if list.Seq, err = c.Check(partial); err != nil {
		return Backup{}, fmt.Errorf("check it: %w", err)
	}
	list.At, err = time.Parse(generationName, c.FS.PathBase(c.to))
	err = errors.Join(err, writeContents(c.FS, partial, list), syncDir(c.FS, partial))
	if err != nil {
		return Backup{}, err
	}
	c.made.Path, c.made.At, c.made.Seq, c.made.Files = c.to, list.At, list.Seq, len(list.Files)
	return c.made, errors.Join(c.FS.Rename(partial, c.to), syncDir(c.FS, c.FS.PathDir(c.to)))
}

// file puts one file of the checkpoint into the generation.
func (c *copier) file(name, partial string) (savedFile, error) {
	source, target := c.FS.PathJoin(c.Staging, name), c.FS.PathJoin(partial, name)
	info, err := c.FS.Stat(source)
	if err != nil {
		return savedFile{}, err
	}
	f := savedFile{Name: name, Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
	if isTable(name) {
		if old := c.has[name]; old == f && c.FS.Link(c.FS.PathJoin(c.previous, name), target) == nil {
			c.made.Kept++
			return f, nil
		}
		if c.FS.Link(source, target) == nil {
			c.made.Linked++
			return f, nil
		}
	}
	c.made.Copied++
	if f.SHA256, err = copyFile(c.FS, source, target); isTable(name) {
		f.SHA256 = ""
	}
	return f, err
}

// isTable tells files that never change once they are written from those that do.
func isTable(name string) bool { return path.Ext(name) == ".sst" || path.Ext(name) == ".blob" }

// ErrDamaged is a backup that is not what it was when it was made.
var ErrDamaged = errors.New("the backup is damaged")

// ErrInUse is a directory of backups into which another one is being made.
var ErrInUse = errors.New("another backup is being made there")

// ErrForeign is a directory that holds backups of another store: its old ones would go for this one's.
var ErrForeign = errors.New("it holds backups of another store: use a directory for each")

func readContents(f vfs.FS, dir string) (list contentsList, err error) {
	file, err := f.Open(f.PathJoin(dir, contentsName))
	if err != nil {
		return list, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	data, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return list, err
	}
	if !seal.Whole(data) {
		return list, fmt.Errorf("%w: %s is not what was written", ErrDamaged, contentsName)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return list, fmt.Errorf("%w: %s: %w", ErrDamaged, contentsName, err)
	}
	return list, nil
}

func writeContents(f vfs.FS, dir string, list contentsList) error {
	data, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	file, err := f.Create(f.PathJoin(dir, contentsName), "trackway-backup")
	if err != nil {
		return err
	}
	_, err = file.Write(append(seal.Add(data), '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}

// Restore makes a store in dir out of a backup: of a generation, or of the newest in a directory of backups. dir must not be
// there, or be empty. The files are compared with what was written, and check looks at the copy, before it gets its name; the
// backup is only read. On an error nothing is in dir. A backup of another format than format is refused.
//
// Cost: the backup is read and written once, beside what check does.
func Restore(
	ctx context.Context, f vfs.FS, backup, dir string, format int, check func(dir string, seq uint64) error,
) (b Backup, err error) {
	generation, err := newest(f, backup)
	if err != nil {
		return b, err
	}
	list, err := readContents(f, generation)
	if err != nil {
		return b, err
	}
	if list.Format != format {
		return b, fmt.Errorf("the backup is of format version %d, this program reads version %d only: restore it with the build that made it", list.Format, format)
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

// newest returns the generation that backup is, or the newest in it.
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

// removeEmpty makes room for a directory, and refuses where there is something.
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

func restoreFile(f vfs.FS, from, to string, file savedFile) error {
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

// copyFile copies a file, durably, and returns its SHA-256.
func copyFile(f vfs.FS, from, to string) (sum string, err error) {
	source, err := f.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := f.Create(to, "trackway-backup")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(target, hash), source)
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, target.Sync(), target.Close())
}

// dirMode is that of directories that hold what customers did.
const dirMode = 0o700

// makeDir makes a directory and its parents, durably, and returns those that it
// has made, the innermost first.
func makeDir(f vfs.FS, dir string) (made []string, err error) {
	for at := dir; ; at = f.PathDir(at) {
		if _, err := f.Stat(at); err == nil || at == f.PathDir(at) {
			break
		}
		made = append(made, at)
	}
	err = f.MkdirAll(dir, dirMode)
	for _, one := range made {
		err = cmp.Or(err, syncDir(f, f.PathDir(one)))
	}
	return made, err
}

func syncDir(f vfs.FS, dir string) error {
	d, err := f.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
