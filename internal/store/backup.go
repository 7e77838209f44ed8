package store

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

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A directory of backups holds generations, each a directory that is a store by itself and is named by the time it was made
// at, and nothing else that counts. A generation gets that name last, in one step, so that one that has it is whole. Tables
// never change once they are written; generations that share one share the file, by a hard link.
const (
	generationName = "20060102T150405.000000Z"
	partialSuffix  = ".partial"    // of what is being made or removed
	contentsName   = "backup.json" // what a generation holds, so that damage is found
	stagingName    = "checkpoint"  // in the store's directory: where a backup begins
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

// Backup writes a copy of the running store into dir, which holds backups of this store only, as a new generation of the time
// at, and removes the oldest until keep of them are left. The copy holds all that was acknowledged before the call. Nobody waits
// for it. It is opened and checked before it gets its name; whatever goes wrong, the generations that were there stay.
//
// Cost: the files that are new since the last generation are linked, or copied where dir is on another file system.
func (s *Store) Backup(ctx context.Context, dir string, at time.Time, keep int) (Backup, error) {
	s.files.Lock()
	defer s.files.Unlock()
	b, err := s.backup(ctx, dir, at, max(keep, 1))
	if err != nil {
		return Backup{}, fmt.Errorf("back up to %s: %w", dir, err)
	}
	return b, nil
}

func (s *Store) backup(ctx context.Context, dir string, at time.Time, keep int) (b Backup, err error) {
	if err := makeDir(s.fs, dir); err != nil {
		return b, err
	}
	lock, err := s.fs.Lock(s.fs.PathJoin(dir, "LOCK"))
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	generations, err := tidy(s.fs, dir)
	if err != nil {
		return b, err
	}
	staging := s.fs.PathJoin(s.dir, stagingName)
	if err := s.fs.RemoveAll(staging); err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, s.fs.RemoveAll(staging)) }()
	if err := s.db.Checkpoint(staging, pebble.WithFlushedWAL()); err != nil {
		return b, err
	}
	c := copier{fs: s.fs, from: staging, to: s.fs.PathJoin(dir, nameAfter(generations, at))}
	if n := len(generations); n > 0 {
		if err := c.before(s.fs.PathJoin(dir, generations[n-1])); err != nil {
			return b, err
		}
	}
	if b, err = c.generation(ctx); err != nil {
		return b, errors.Join(err, s.fs.RemoveAll(c.to+partialSuffix))
	}
	generations = append(generations, s.fs.PathBase(b.Path))
	for ; len(generations) > keep; generations = generations[1:] {
		if err := removeWhole(s.fs, s.fs.PathJoin(dir, generations[0])); err != nil {
			return b, fmt.Errorf("remove an old generation: %w", err)
		}
	}
	b.Generations = len(generations)
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

// tidy lists the generations in dir, the oldest first, and removes what a crash has left half done.
func tidy(f vfs.FS, dir string) (generations []string, err error) {
	names, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, partialSuffix) {
			err = errors.Join(err, f.RemoveAll(f.PathJoin(dir, name)))
		} else if _, bad := time.Parse(generationName, name); bad == nil {
			generations = append(generations, name)
		}
	}
	slices.Sort(generations)
	return generations, err
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
	fs       vfs.FS
	from, to string
	previous string               // the generation before, empty where there is none
	has      map[string]savedFile // its files
	made     Backup
}

// before has the copier share what it can with the generation in dir. One that cannot be read is left alone.
func (c *copier) before(dir string) error {
	list, err := readContents(c.fs, dir)
	if errors.Is(err, errDamaged) {
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
	if err := c.fs.MkdirAll(partial, dirMode); err != nil {
		return Backup{}, err
	}
	names, err := c.fs.List(c.from)
	if err != nil {
		return Backup{}, err
	}
	slices.Sort(names)
	list := contentsList{Format: FormatVersion}
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
	if list.Seq, err = checkOpens(c.fs, partial); err != nil {
		return Backup{}, fmt.Errorf("check it: %w", err)
	}
	list.At, err = time.Parse(generationName, c.fs.PathBase(c.to))
	err = errors.Join(err, writeContents(c.fs, partial, list), syncDir(c.fs, partial))
	if err != nil {
		return Backup{}, err
	}
	c.made.Path, c.made.At, c.made.Seq, c.made.Files = c.to, list.At, list.Seq, len(list.Files)
	return c.made, errors.Join(c.fs.Rename(partial, c.to), syncDir(c.fs, c.fs.PathDir(c.to)))
}

// file puts one file of the checkpoint into the generation.
func (c *copier) file(name, partial string) (savedFile, error) {
	source, target := c.fs.PathJoin(c.from, name), c.fs.PathJoin(partial, name)
	info, err := c.fs.Stat(source)
	if err != nil {
		return savedFile{}, err
	}
	f := savedFile{Name: name, Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
	if isTable(name) {
		if old := c.has[name]; old == f && c.fs.Link(c.fs.PathJoin(c.previous, name), target) == nil {
			c.made.Kept++
			return f, nil
		}
		if c.fs.Link(source, target) == nil {
			c.made.Linked++
			return f, nil
		}
	}
	c.made.Copied++
	if f.SHA256, err = copyFile(c.fs, source, target); isTable(name) {
		f.SHA256 = ""
	}
	return f, err
}

// isTable tells files that never change once they are written from those that do.
func isTable(name string) bool { return path.Ext(name) == ".sst" || path.Ext(name) == ".blob" }

// errDamaged is a backup that is not what it was when it was made.
var errDamaged = errors.New("the backup is damaged")

func readContents(f vfs.FS, dir string) (list contentsList, err error) {
	file, err := f.Open(f.PathJoin(dir, contentsName))
	if err != nil {
		return list, fmt.Errorf("%w: %w", errDamaged, err)
	}
	data, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return list, err
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return list, fmt.Errorf("%w: %s: %w", errDamaged, contentsName, err)
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
	_, err = file.Write(append(data, '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}

// Restore makes a store in dir out of a backup: of a generation, or of the newest in a directory of backups. dir must not be
// there, or be empty. What is in the backup is compared with what was written, and all of the new store is read, before it
// gets its name; the backup is only read. On an error nothing is in dir.
//
// Cost: the backup is copied and read once.
func Restore(ctx context.Context, backup, dir string) (Backup, error) {
	b, err := restore(ctx, vfs.Default, backup, dir)
	if err != nil {
		return Backup{}, fmt.Errorf("restore %s into %s: %w", backup, dir, err)
	}
	return b, nil
}

func restore(ctx context.Context, f vfs.FS, backup, dir string) (b Backup, err error) {
	generation, err := newest(f, backup)
	if err != nil {
		return b, err
	}
	list, err := readContents(f, generation)
	if err != nil {
		return b, err
	}
	if list.Format > FormatVersion {
		return b, fmt.Errorf("the backup is of format version %d, this program reads up to version %d", list.Format, FormatVersion)
	}
	if err := removeEmpty(f, dir); err != nil {
		return b, err
	}
	partial := dir + partialSuffix
	if err := errors.Join(f.RemoveAll(partial), makeDir(f, partial)); err != nil {
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
	if err := checkWhole(ctx, f, partial, list.Seq); err != nil {
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
		return fmt.Errorf("%w: it names a file %q", errDamaged, file.Name)
	}
	sum, err := copyFile(f, f.PathJoin(from, file.Name), f.PathJoin(to, file.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	} else if err != nil {
		return err
	}
	if file.SHA256 != "" && sum != file.SHA256 {
		return fmt.Errorf("%w: %s is not what was written", errDamaged, file.Name)
	}
	info, err := f.Stat(f.PathJoin(to, file.Name))
	if err == nil && info.Size() != file.Bytes {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", errDamaged, file.Name, info.Size(), file.Bytes)
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

// openToRead opens the store in dir without changing it, but for a lock that it leaves.
func openToRead(f vfs.FS, dir string) (*Store, error) {
	o := pebbleOptions(Options{FS: f, Cache: 1 << 20, Fatal: func(error) {}})
	o.ReadOnly = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db}
	if err := errors.Join(s.checkFormat(), s.findNext()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// checkOpens opens the store in dir and returns the sequence number of its last event.
func checkOpens(f vfs.FS, dir string) (seq uint64, err error) {
	s, err := openToRead(f, dir)
	if err != nil {
		return 0, err
	}
	return s.nextSeq - 1, errors.Join(s.db.Close(), f.Remove(f.PathJoin(dir, "LOCK")))
}

// checkWhole reads all of the store in dir, and so has the checksum of each block compared.
func checkWhole(ctx context.Context, f vfs.FS, dir string, seq uint64) (err error) {
	s, err := openToRead(f, dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	defer func() { err = errors.Join(err, s.db.Close(), f.Remove(f.PathJoin(dir, "LOCK"))) }()
	if s.nextSeq != seq+1 {
		return fmt.Errorf("%w: its last event is %d, not %d", errDamaged, s.nextSeq-1, seq)
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && ctx.Err() == nil; it.Next() {
		if _, err := it.ValueAndErr(); err != nil {
			break // it.Error returns it, too
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return context.Cause(ctx)
}

// dirMode is that of directories that hold what customers did.
const dirMode = 0o700

// makeDir makes a directory and its parents, durably.
func makeDir(f vfs.FS, dir string) error {
	var missing []string
	for at := dir; ; at = f.PathDir(at) {
		if _, err := f.Stat(at); err == nil || at == f.PathDir(at) {
			break
		}
		missing = append(missing, f.PathDir(at))
	}
	err := f.MkdirAll(dir, dirMode)
	for _, parent := range missing {
		err = cmp.Or(err, syncDir(f, parent))
	}
	return err
}

func syncDir(f vfs.FS, dir string) error {
	d, err := f.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
