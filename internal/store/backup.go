package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/backup"
	"trackway/internal/store/damage"
)

// Backup tells of one backup of a store, or of what was restored from it.
type Backup = backup.Backup

// stagingName is where in the store's directory a backup begins.
const stagingName = "checkpoint"

func (s *Store) staging() string { return s.fs.PathJoin(s.dir, stagingName) }

// Backup writes a copy of the running store into dir, which holds backups of this store only, as a new generation of the time
// at, and removes the oldest until keep of them are left. The copy holds all that was acknowledged before the call. Nobody
// waits for it. It is opened and checked before it counts; whatever goes wrong, the generations that were there stay.
func (s *Store) Backup(ctx context.Context, dir string, at time.Time, keep int) (Backup, error) {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	b, err := backup.Make(ctx, backup.Source{
		FS: s.fs, Format: FormatVersion, Store: s.name, Staging: s.staging(),
		Checkpoint: func(dir string) error { return s.db.Checkpoint(dir, pebble.WithFlushedWAL()) },
		Check:      func(dir string) (uint64, error) { return checkOpens(s.fs, dir) },
	}, dir, at, keep)
	if err != nil {
		return Backup{}, fmt.Errorf("back up to %s: %w", dir, err)
	}
	return b, nil
}

// Restore makes a store in dir out of a backup: of a generation, or of the newest in a directory of backups. dir must not be
// there, or be empty. All of the new store is read, and so its checksums compared, before it gets its name; the backup is only
// read. On an error, such as of a backup that is damaged, nothing is in dir.
func Restore(ctx context.Context, from, dir string) (Backup, error) {
	b, err := restore(ctx, vfs.Default, from, dir)
	if err != nil {
		return Backup{}, fmt.Errorf("restore %s into %s: %w", from, dir, err)
	}
	return b, nil
}

func restore(ctx context.Context, f vfs.FS, from, dir string) (Backup, error) {
	return backup.Restore(ctx, f, from, dir, FormatVersion, func(dir string, seq uint64) error { return checkWhole(ctx, f, dir, seq) })
}

// openToRead opens the store in dir without changing it, but for a lock that it leaves.
func openToRead(f vfs.FS, dir string) (*Store, error) {
	o := pebbleOptions(Options{FS: f, Cache: 1 << 20, Fatal: func(error) {}})
	o.ReadOnly = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	s := &Store{}
	s.db, s.damaged = db, damage.New(slog.New(slog.DiscardHandler))
	if known, err := s.checkFormat(); err != nil {
		return nil, errors.Join(err, db.Close())
	} else if !known {
		return nil, errors.Join(errors.New("it is no store"), db.Close())
	}
	if err := s.findNext(); err != nil {
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
		return fmt.Errorf("%w: %w", backup.ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, s.db.Close(), f.Remove(f.PathJoin(dir, "LOCK"))) }()
	if s.nextSeq != seq+1 {
		return fmt.Errorf("%w: its last event is %d, not %d", backup.ErrDamaged, s.nextSeq-1, seq)
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
		return fmt.Errorf("%w: %w", backup.ErrDamaged, err)
	}
	return context.Cause(ctx)
}
