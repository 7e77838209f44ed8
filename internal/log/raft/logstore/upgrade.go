package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/engine"
)

// Older programs kept the log in a Pebble database. Its tables, by the first
// byte of a key, were these.
const (
	tableLog  = 'l' // index → record
	tableMeta = 'm' // name → value
)

// Names of files and directories.
const (
	// guardName is a file that keeps older programs from starting in the
	// directory. To them, it is the mark of a database from the future, and
	// newer than any other such mark. A log in a Pebble database counts until
	// this file is there, and the segments count from then on.
	guardName = "marker.format-version.999999.999"
	// manifestMark begins the name of a file that each Pebble database has.
	manifestMark = "marker.manifest."

	newSuffix = ".upgraded" // of the directory in which an upgrade writes
	oldSuffix = ".older"    // one program renamed the directory to this, for a moment
)

// keepOthersOut writes the guard. The segment that is begun next syncs the
// directory.
func (s *Store) keepOthersOut() error { return guard(s.fs, s.dir) }

func guard(fs vfs.FS, dir string) error {
	f, err := fs.Create(fs.PathJoin(dir, guardName), category)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// upgrade rewrites the log of an older program, if there is one in dir. The
// segments come into the same directory, and take effect with the guard. So a
// crash leaves the old log, which both programs use, or the new one, which an
// older program refuses, and never an empty directory.
func upgrade(dir string, o *Options) error {
	names, err := o.FS.List(dir)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		found, err := bringBack(o.FS, dir)
		if err != nil || !found {
			return err // there is no log yet
		}
		return upgrade(dir, o)
	case err != nil:
		return err
	case !slices.ContainsFunc(names, isManifestMark):
		if slices.ContainsFunc(names, isSegment) {
			return o.FS.RemoveAll(dir + oldSuffix) // it must not be brought back later
		}
		return nil
	case slices.Contains(names, guardName):
		return removeOlder(o.FS, dir)
	}
	for _, name := range names { // of an upgrade that was interrupted
		if !isOurs(name) || name == lockName {
			continue
		}
		if err := o.FS.Remove(o.FS.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	newer := dir + newSuffix
	if err := o.FS.RemoveAll(newer); err != nil {
		return err
	}
	if err := rewrite(dir, newer, o); err != nil {
		return fmt.Errorf("rewrite the log of an older program: %w", err)
	}
	for _, step := range []func() error{
		func() error { return moveSegments(o.FS, newer, dir) },
		func() error { return syncDir(o.FS, dir) },
		func() error { return guard(o.FS, dir) },
		func() error { return syncDir(o.FS, dir) },
		func() error { return removeOlder(o.FS, dir) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// bringBack renames a log back that another program has renamed, when it was
// about to put the upgraded one in its place. It reports whether there was one:
// to begin an empty log instead would be to forget the votes, and entries that
// are nowhere else.
func bringBack(fs vfs.FS, dir string) (found bool, err error) {
	switch _, err := fs.Stat(dir + oldSuffix); {
	case errors.Is(err, iofs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, errors.Join(fs.Rename(dir+oldSuffix, dir), syncDir(fs, fs.PathDir(dir)))
}

func isManifestMark(name string) bool { return strings.HasPrefix(name, manifestMark) }

func isSegment(name string) bool { return strings.HasSuffix(name, segmentSuffix) }

// isOurs reports whether a file is one of a store in segments.
func isOurs(name string) bool {
	return isSegment(name) || name == syncedName || name == guardName || name == lockName
}

// moveSegments moves what a store consists of to another directory.
func moveSegments(fs vfs.FS, from, to string) error {
	names, err := fs.List(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !isSegment(name) && name != syncedName {
			continue
		}
		if err := fs.Rename(fs.PathJoin(from, name), fs.PathJoin(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeOlder removes the log of an older program from a directory in which the
// segments count. The files by which such a log is recognized go last, so that
// the next start goes on with it after a crash.
func removeOlder(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, isSegment) {
		return damaged(errors.New("there are no segments, although they were written"))
	}
	remove := func(which func(name string) bool) error {
		for _, name := range names {
			if !which(name) {
				continue
			}
			if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
				return err
			}
		}
		return syncDir(fs, dir)
	}
	if err := remove(func(name string) bool { return !isOurs(name) && !isManifestMark(name) }); err != nil {
		return err
	}
	if err := errors.Join(fs.RemoveAll(dir+newSuffix), syncDir(fs, fs.PathDir(dir))); err != nil {
		return err
	}
	return remove(isManifestMark)
}

// rewrite copies a log from a Pebble database into a new store. All of it is on
// the disk on return. It refuses a database that is damaged.
func rewrite(from, to string, o *Options) (err error) {
	db, err := engine.Open(from, engine.Options{
		FS: o.FS, Log: o.Log, Cache: 4 << 20, MemTable: 4 << 20, Files: o.Files, Fatal: o.Fatal, Plain: true,
	}, func(*pebble.Options) {})
	if err != nil {
		if errors.Is(err, engine.ErrDamagedLog) || pebble.IsCorruptionError(err) {
			err = damaged(errors.New("its write-ahead log lacks what was synced to it"))
		}
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := open(to, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.copyFrom(db.DB)
}

// copyFrom copies everything of a Pebble database: first the entries, then the
// rest in one write, without which the store is not whole.
func (s *Store) copyFrom(db *pebble.DB) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b, err := s.batch()
	if err != nil {
		return err
	}
	last := uint64(0)
	err = each(db, tableLog, func(key, value []byte) error {
		if len(key) != 8 {
			return errRecord
		}
		r, err := decode(value)
		if err != nil {
			return err
		}
		if r.log.Index = binary.BigEndian.Uint64(key); last != 0 && r.log.Index != last+1 {
			return fmt.Errorf("entry %d is missing", last+1)
		}
		last = r.log.Index
		if b.entry(kindEntry, &r); len(b.buf) < copyBytes {
			return nil
		}
		if err := s.commit(b); err != nil {
			return err
		}
		b, err = s.batch()
		return err
	})
	if err != nil {
		return damaged(err)
	}
	err = each(db, tableMeta, func(key, value []byte) error {
		b.set(string(key), value)
		return nil
	})
	if err != nil {
		return damaged(err)
	}
	return s.commit(b)
}

// each calls do with each key and value of a table. The key is without the
// table.
func each(db *pebble.DB, table byte, do func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = do(it.Key()[1:], value)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}
