package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/backup"
	"trackway/internal/store/damage"
	"trackway/internal/store/engine"
)

// Backup describes one backup of a store, or what was restored from it.
type Backup = backup.Backup

// stagingName is the directory within the store's directory in which a backup
// starts.
const stagingName = "checkpoint"

func (s *Store) staging() string { return s.fs.PathJoin(s.dir, stagingName) }

// Source returns the running store as a source of backups. They hold everything
// acknowledged before, and block no reader or writer.
func (s *Store) Source() backup.Source {
	return backup.Source{
		FS: s.fs, Store: s.name, Staging: s.staging(), Alone: &s.upkeep,
		Checkpoint: func(dir string) error { return s.db.Checkpoint(dir, pebble.WithFlushedWAL()) },
		Check:      func(dir string) (uint64, int, error) { return checkOpens(s.fs, dir) },
	}
}

// Restore creates a store in dir from a backup: a generation, or the newest one
// in a directory of backups. dir must not exist or must be empty. Restore reads
// the whole new store, which verifies its checksums, before the store gets its
// final name. It only reads the backup. If it fails, for example because the
// backup is damaged, it leaves nothing in dir.
func Restore(ctx context.Context, from, dir string) (Backup, error) {
	b, err := restore(ctx, vfs.Default, from, dir)
	if err != nil {
		return Backup{}, fmt.Errorf("restore %s into %s: %w", from, dir, err)
	}
	return b, nil
}

func restore(ctx context.Context, f vfs.FS, from, dir string) (Backup, error) {
	return backup.Restore(ctx, f, from, dir, func(dir string, seq uint64) error {
		return checkWhole(ctx, f, dir, func(s *Store) error {
			if s.nextSeq != seq+1 {
				return fmt.Errorf("%w: its last event is %d, not %d", backup.ErrDamaged, s.nextSeq-1, seq)
			}
			return nil
		})
	})
}

// openToRead opens the store in dir, and returns the version of its format. It
// changes nothing, but leaves a lock file.
func openToRead(f vfs.FS, dir string) (s *Store, version int, err error) {
	o := pebbleOptions(Options{FS: f, Cache: 1 << 20, Fatal: func(error) {}})
	o.ReadOnly = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, 0, err
	}
	s = &Store{}
	s.db, s.damaged = db, damage.New(slog.New(slog.DiscardHandler))
	version, err = engine.CheckFormat(s.db)
	if err == nil && version == 0 {
		err = errors.New("it is no store")
	}
	if err == nil {
		err = s.findNext()
	}
	if err != nil {
		return nil, 0, errors.Join(err, db.Close())
	}
	return s, version, nil
}

// checkOpens opens the store in dir and returns the sequence number of its last
// event, and the version of its format.
func checkOpens(f vfs.FS, dir string) (seq uint64, version int, err error) {
	s, version, err := openToRead(f, dir)
	if err != nil {
		return 0, 0, err
	}
	return s.nextSeq - 1, version, errors.Join(s.db.Close(), f.Remove(f.PathJoin(dir, "LOCK")))
}

// checkWhole reads the whole store in dir, which verifies the checksum of each
// block. First it calls check.
func checkWhole(ctx context.Context, f vfs.FS, dir string, check func(*Store) error) error {
	return checkStore(f, dir, func(s *Store) error {
		if err := check(s); err != nil {
			return err
		}
		if err := engine.ReadAll(ctx, s.db); ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil {
			return fmt.Errorf("%w: %w", backup.ErrDamaged, err)
		}
		return nil
	})
}

// checkStore opens the store in dir, calls check, and closes it again.
func checkStore(f vfs.FS, dir string, check func(*Store) error) (err error) {
	s, _, err := openToRead(f, dir)
	if err != nil {
		return fmt.Errorf("%w: %w", backup.ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, s.db.Close(), f.Remove(f.PathJoin(dir, "LOCK"))) }()
	return check(s)
}
