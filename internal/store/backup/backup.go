// Package backup keeps copies of a store's directory that share unchanged
// files. A generation is a directory that is a complete store. It is created
// under a different name and renamed to its time last, in one step, so a
// generation with its final name is complete. Tables never change once written,
// so generations share them through hard links.
//
// It handles files and does not know their content: its user checks whether a
// copy is a store.
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
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/seal"
)

// Names in a directory of backups.
const (
	generationName = "20060102T150405.000000Z"
	partialSuffix  = ".partial"    // of a generation that is being created or removed
	contentsName   = "backup.json" // lists what a generation holds, so that damage is found
)

// Backup describes one backup of a store, or what was restored from it.
type Backup struct {
	Path  string    // when it was made
	At    time.Time // of the last event in it; it also holds all earlier events
	Seq   uint64    // of the last event in it: all before that are in it, too
	Bytes int64     // all files: the sum of the three fields below
	Files int       // all of them: those that follow, together
	Kept  int       // shared with the previous generation
	// shared with the running store: they take no extra space while the store
	// keeps them
	Linked      int
	Copied      int // written as new files
	Generations int // number in the directory after a backup
}

// contentsList is the content of the file backup.json.
type contentsList struct {
	Format int       `json:"format"`
	Store  string    `json:"store"`          // name of the store; empty: not known
	From   string    `json:"from,omitempty"` // the server that sent it; empty: none did
	At     time.Time `json:"at"`
	Seq    uint64    `json:"seq"`
	Files  []File    `json:"files"`
}

// File describes one file of a generation. Tables have checksums in each block.
// All other files are small.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	// of the store's file, in nanoseconds: with name and size it identifies a
	// table
	Modified int64  `json:"modified"`
	SHA256   string `json:"sha256,omitempty"` // empty for tables
}

// Source is the store to copy.
type Source struct {
	FS      vfs.FS
	Store   string // a name unique to this store; empty: not known
	Was     string // another name under which there may be backups of it
	Staging string // a directory for Checkpoint to create, on the store's file system
	// creates a consistent copy in dir: hard links to tables, copies of all
	// else
	Checkpoint func(dir string) error
	// checks that the store in dir opens, and returns its last event and the
	// version of its format
	Check func(dir string) (seq uint64, format int, e error)
	Alone sync.Locker // is held while there is something in Staging

	// Fetch receives a copy into dir, if the store is another server's. It may
	// leave out tables of the last generation, which it returns. It takes the
	// place of Checkpoint; Staging is then that of dir: see [Incoming].
	Fetch func(dir string, last Tables) (leftOut Tables, err error)
}

// Tables are files of one server's copy of a store. The copies of other servers
// have other tables, which may have the same names.
type Tables struct {
	From  string `json:"from"` // a name of the server; empty: not known
	Files []File `json:"files"`
}

// Incoming returns the directory for what is fetched into a directory of
// backups. If a crash leaves something there, the next backup removes it.
func Incoming(f vfs.FS, dir string) string {
	return f.PathJoin(dir, time.Time{}.Format(generationName)+partialSuffix)
}

// Make copies the store into dir, which may hold only backups of this store. It
// adds a generation with the time at, and removes the oldest ones until keep of
// them are left, but at least one. It checks the copy before it gives the
// generation its final name. Existing generations survive any failure.
// [ErrInUse]: another backup into dir is running. [ErrForeign]: dir holds
// backups of another store.
//
// Cost: tables that are new since the last generation are linked, or copied if
// dir is on another file system.
func Make(ctx context.Context, src Source, dir string, at time.Time, keep int) (_ Backup, err error) {
	p, err := Begin(ctx, src, dir, at)
	if err != nil {
		return Backup{}, err
	}
	defer func() { err = p.End(err) }()
	if err := p.Commit(); err != nil {
		return Backup{}, err
	}
	return p.Prune(keep)
}

// Pending is a generation that is complete, except for its final name. Several
// of them get their names together, or none does.
type Pending struct {
	Name string // that it will get, without the directory

	fs   vfs.FS
	dir  string
	lock io.Closer
	made []string // directories, innermost first, to be removed if they stay empty
	old  []string // generations that may be removed
	b    Backup
}

// lockName is a file in a directory of backups, which is locked while one is
// made there.
const lockName = "LOCK"

// Begin does what [Make] does, up to the final name. [Pending.End] has to be
// called. No other backup is made in dir until then.
func Begin(ctx context.Context, src Source, dir string, at time.Time) (_ *Pending, err error) {
	p := &Pending{fs: src.FS, dir: dir}
	if p.made, err = makeDir(src.FS, dir); err != nil {
		return nil, err
	}
	if p.lock, err = src.FS.Lock(src.FS.PathJoin(dir, lockName)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	generations, err := tidy(src.FS, dir, src.Store, src.Was)
	if err == nil {
		p.old = generations.whole
		p.b, err = add(ctx, src, dir, generations.names, at)
	}
	if err != nil {
		return nil, p.End(err)
	}
	p.Name = src.FS.PathBase(p.b.Path)
	return p, nil
}

// Commit gives the generation its final name.
func (p *Pending) Commit() error {
	return errors.Join(p.fs.Rename(p.b.Path+partialSuffix, p.b.Path), syncDir(p.fs, p.dir))
}

// Prune removes the oldest generations until keep of them are left, but at
// least the new one. If several generations belong together, all of them must
// have their names.
func (p *Pending) Prune(keep int) (Backup, error) {
	whole := append(p.old, p.Name)
	for ; len(whole) > max(keep, 1); whole = whole[1:] {
		if err := removeWhole(p.fs, p.fs.PathJoin(p.dir, whole[0])); err != nil {
			return p.b, fmt.Errorf("remove an old generation: %w", err)
		}
	}
	p.b.Generations = len(whole)
	return p.b, nil
}

// End lets other backups be made. Unless the generation has its final name, it
// removes everything that was made for it. It returns err, and its own.
func (p *Pending) End(err error) error {
	if p.b.Path != "" {
		err = errors.Join(err, p.fs.RemoveAll(p.b.Path+partialSuffix))
	}
	if err = errors.Join(err, p.lock.Close()); err != nil && len(p.made) > 0 {
		_ = p.fs.Remove(p.fs.PathJoin(p.dir, lockName))
		for _, empty := range p.made {
			_ = p.fs.Remove(empty) // it stays if it is not empty
		}
	}
	return err
}

// After returns the time for a new generation in dir: at, or a later one if a
// generation has that time already, or a later one. So their order stays even
// if the clock is set back.
func After(f vfs.FS, dir string, at time.Time) (time.Time, error) {
	names, err := f.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return at, err
	}
	for _, name := range names {
		if last, err := time.Parse(generationName, name); err == nil && !at.Truncate(time.Microsecond).After(last) {
			at = last.Add(time.Microsecond)
		}
	}
	return at.UTC(), nil
}

// add creates a generation after the existing ones. It has no final name yet.
func add(ctx context.Context, src Source, dir string, generations []string, at time.Time) (b Backup, err error) {
	if at, err = After(src.FS, dir, at); err != nil {
		return b, err
	}
	c := copier{Source: src, to: src.FS.PathJoin(dir, at.Format(generationName))}
	if n := len(generations); n > 0 {
		if err := c.before(src.FS.PathJoin(dir, generations[n-1])); err != nil {
			return b, err
		}
	}
	err = src.copied(c.take, func() error {
		if b, err = c.generation(ctx); err != nil {
			return errors.Join(err, src.FS.RemoveAll(c.to+partialSuffix))
		}
		return nil
	})
	return b, err
}

// Copied calls do with a copy of the store, which it then removes.
func Copied(src Source, do func(dir string) error) error {
	return src.copied(src.Checkpoint, func() error { return do(src.Staging) })
}

// copied takes a copy of the store, calls do, and removes the copy.
func (src *Source) copied(take func(dir string) error, do func() error) (err error) {
	src.Alone.Lock()
	defer src.Alone.Unlock()
	if err := src.FS.RemoveAll(src.Staging); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.FS.RemoveAll(src.Staging)) }()
	if err := take(src.Staging); err != nil {
		return err
	}
	return do()
}

// Reduce removes from a copy of the store, while there is one, the tables that
// are among has. It returns these, and the tables that are left.
func (src *Source) Reduce(has []File) (removed, left []File, err error) {
	names, err := src.FS.List(src.Staging)
	if err != nil {
		return nil, nil, err
	}
	known := make(map[File]bool, len(has))
	for _, f := range has {
		known[f] = true
	}
	for _, name := range names {
		if !isTable(name) {
			continue
		}
		path := src.FS.PathJoin(src.Staging, name)
		info, err := src.FS.Stat(path)
		if err != nil {
			return nil, nil, err
		}
		f := File{Name: name, Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
		if !known[f] {
			left = append(left, f)
			continue
		}
		if err := src.FS.Remove(path); err != nil {
			return nil, nil, err
		}
		removed = append(removed, f)
	}
	return removed, left, nil
}

// generations lists the entries of a directory that are named as generations
// are, oldest first.
type generations struct {
	names []string
	whole []string // those with a readable list of contents; only these may be removed
}

// tidy lists the generations in dir. It removes what a crash left unfinished,
// and nothing else. If dir holds generations of another store, tidy removes
// nothing and returns [ErrForeign].
func tidy(f vfs.FS, dir, store, was string) (found generations, err error) {
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
		if list.Store != "" && store != "" && list.Store != store && list.Store != was {
			return found, ErrForeign
		}
		found.whole = append(found.whole, name)
	}
	for _, name := range partial {
		err = errors.Join(err, f.RemoveAll(f.PathJoin(dir, name)))
	}
	return found, err
}

// removeWhole renames the generation first, so that a partly removed one never
// looks complete.
func removeWhole(f vfs.FS, dir string) error {
	if err := f.Rename(dir, dir+partialSuffix); err != nil {
		return err
	}
	return errors.Join(syncDir(f, f.PathDir(dir)), f.RemoveAll(dir+partialSuffix))
}

// copier turns a checkpoint into a generation.
type copier struct {
	Source

	to       string
	previous string          // the previous generation; empty if there is no such generation
	has      map[string]File // files of the previous generation
	from     string          // the server that sent it, or the new one; empty: none did
	made     Backup
}

// before makes the copier share files with the generation in dir if possible.
// It ignores an unreadable generation.
func (c *copier) before(dir string) error {
	list, err := readContents(c.FS, dir)
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	c.previous, c.from, c.has = dir, list.From, make(map[string]File, len(list.Files))
	for _, f := range list.Files {
		c.has[f.Name] = f
	}
	return err
}

// take makes a copy of the store in dir, or fetches one. The copy shares no
// files with a generation that is from another server.
func (c *copier) take(dir string) error {
	before, last := c.from, Tables{From: c.from}
	if c.Fetch == nil {
		if c.from = ""; before != "" {
			c.has = nil
		}
		return c.Checkpoint(dir)
	}
	for name, f := range c.has {
		if isTable(name) && c.kept(f) {
			last.Files = append(last.Files, f)
		}
	}
	leftOut, err := c.Fetch(dir, last)
	if err != nil {
		return err
	}
	if c.from = leftOut.From; c.from != before {
		c.has = nil
	}
	for _, f := range leftOut.Files {
		if c.has[f.Name] != f {
			return fmt.Errorf("%s was not sent, and is not in the last backup", f.Name)
		}
		if err := vfs.LinkOrCopy(c.FS, c.FS.PathJoin(c.previous, f.Name), c.FS.PathJoin(dir, f.Name)); err != nil {
			return err
		}
	}
	return nil
}

// kept reports whether the previous generation still has a file.
func (c *copier) kept(f File) bool {
	info, err := c.FS.Stat(c.FS.PathJoin(c.previous, f.Name))
	return err == nil && info.Size() == f.Bytes
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
	list := contentsList{Store: c.Store, From: c.from}
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
	if list.Seq, list.Format, err = c.Check(partial); err != nil {
		return Backup{}, fmt.Errorf("check it: %w", err)
	}
	list.At, err = time.Parse(generationName, c.FS.PathBase(c.to))
	err = errors.Join(err, writeContents(c.FS, partial, list), syncDir(c.FS, partial))
	if err != nil {
		return Backup{}, err
	}
	c.made.Path, c.made.At, c.made.Seq, c.made.Files = c.to, list.At, list.Seq, len(list.Files)
	return c.made, nil
}

// file adds one file of the checkpoint to the generation.
func (c *copier) file(name, partial string) (File, error) {
	source, target := c.FS.PathJoin(c.Staging, name), c.FS.PathJoin(partial, name)
	info, err := c.FS.Stat(source)
	if err != nil {
		return File{}, err
	}
	f := File{Name: name, Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
	if isTable(name) {
		if old := c.has[name]; old == f && c.FS.Link(c.FS.PathJoin(c.previous, name), target) == nil {
			c.made.Kept++
			return f, nil
		}
		if c.FS.Link(source, target) == nil {
			if c.Fetch == nil {
				c.made.Linked++
			} else {
				c.made.Copied++ // it was, by the time it was received
			}
			return f, nil
		}
	}
	c.made.Copied++
	if f.SHA256, err = copyFile(c.FS, source, target); isTable(name) {
		f.SHA256 = ""
	}
	return f, err
}

// isTable reports whether a file never changes once it is written.
func isTable(name string) bool { return path.Ext(name) == ".sst" || path.Ext(name) == ".blob" }

// ErrDamaged is the error for a backup that has changed since it was made.
var ErrDamaged = errors.New("the backup is damaged")

// ErrInUse is the error for a directory into which another backup is running.
var ErrInUse = errors.New("another backup is being made there")

// ErrForeign is the error for a directory with backups of another store. A
// backup into it would replace the old ones of that store.
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

// copyFile durably copies a file and returns its SHA-256.
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

// dirMode is the mode of directories with customer data.
const dirMode = 0o700

// makeDir durably creates a directory and its parents. It returns those that it
// created, innermost first.
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
