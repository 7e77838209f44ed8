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
	// guardName is a file that keeps older programs from starting an empty log
	// in the directory. To them, it is the mark of a database from the future.
	guardName = "marker.format-version.000001.999"
	// manifestMark begins the name of a file that each Pebble database has.
	manifestMark = "marker.manifest."

	newSuffix = ".upgraded" // of the directory in which an upgrade writes
	oldSuffix = ".older"    // of the directory that it replaces
)

// keepOthersOut writes the guard. The segment that is begun next syncs the
// directory.
func (s *Store) keepOthersOut() error {
	f, err := s.fs.Create(s.fs.PathJoin(s.dir, guardName), category)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// upgrade rewrites the log of an older program, if there is one in dir. The new
// files take the place of the old ones when they are whole and on the disk, so
// a crash leaves the one or the other.
func upgrade(dir string, o *Options) error {
	newer, older := dir+newSuffix, dir+oldSuffix
	if err := settle(o.FS, dir, older); err != nil {
		return err
	}
	names, err := o.FS.List(dir)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil // there is no log yet
	case err != nil:
		return err
	case !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, manifestMark) }):
		return nil
	}
	if err := o.FS.RemoveAll(newer); err != nil {
		return err
	}
	if err := rewrite(dir, newer, o); err != nil {
		return fmt.Errorf("rewrite the log of an older program: %w", err)
	}
	for _, step := range []func() error{
		func() error { return o.FS.Rename(dir, older) },
		func() error { return syncAbove(o.FS, dir) },
		func() error { return o.FS.Rename(newer, dir) },
		func() error { return syncAbove(o.FS, dir) },
		func() error { return o.FS.RemoveAll(older) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// settle undoes or finishes what a crash has interrupted.
func settle(fs vfs.FS, dir, older string) error {
	switch _, err := fs.Stat(older); {
	case errors.Is(err, iofs.ErrNotExist):
		return nil // nothing was interrupted
	case err != nil:
		return err
	}
	switch _, err := fs.Stat(dir); {
	case err == nil:
		return fs.RemoveAll(older)
	case !errors.Is(err, iofs.ErrNotExist):
		return err
	}
	return errors.Join(fs.Rename(older, dir), syncAbove(fs, dir))
}

func syncAbove(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(fs.PathDir(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
