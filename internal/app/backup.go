package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"trackway/internal/control"
	"trackway/internal/durable"
	"trackway/internal/limit/history"
	"trackway/internal/store"
)

// backup backs up what the data directory holds: the store, and the record of changed limits, which only ever grows, so that the
// latest one serves all generations.
func (s *server) backup(ctx context.Context, dir string, keep int) (control.Backup, error) {
	made, err := s.store.Backup(ctx, dir, time.Now(), keep)
	if err != nil {
		return control.Backup{}, err
	}
	return control.Backup(made), copyHistory(s.Config.DataDir, dir)
}

// Restore makes a data directory out of a backup: a directory of backups, whose newest is taken, or one of them. What the data
// directory holds already is not touched: a store there is an error. The result was opened and read in full.
func Restore(ctx context.Context, backup, dataDir string) (control.Backup, error) {
	const private = 0o700
	if err := os.MkdirAll(dataDir, private); err != nil {
		return control.Backup{}, fmt.Errorf("create data directory: %w", err)
	}
	restored, err := store.Restore(ctx, backup, filepath.Join(dataDir, storeDir))
	if err != nil {
		return control.Backup{}, err
	}
	if _, err := os.Lstat(filepath.Join(dataDir, history.File)); !errors.Is(err, fs.ErrNotExist) {
		return control.Backup(restored), err
	}
	return control.Backup(restored), copyHistory(filepath.Dir(restored.Path), dataDir)
}

// copyHistory copies the record of changed limits. A data directory without one is of a server that never ran.
func copyHistory(from, to string) error {
	text, err := os.ReadFile(filepath.Join(from, history.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	const ownerOnly = 0o600
	return durable.Replace(filepath.Join(to, history.File), text, ownerOnly)
}
