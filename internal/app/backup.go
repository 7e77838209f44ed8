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

// Restore makes a data directory out of a backup: a directory of backups, whose newest is taken, or one of them. The data
// directory must be empty, or not be there. The result was opened and read in full. With an error nothing has changed.
func Restore(ctx context.Context, backup, dataDir string) (_ control.Backup, err error) {
	var made []string
	defer func() {
		for i := len(made) - 1; err != nil && i >= 0; i-- {
			_ = os.Remove(made[i]) // it stays if somebody has put something there meanwhile
		}
	}()
	if made, err = makeVacant(dataDir); err != nil {
		return control.Backup{}, fmt.Errorf("restore %s into %s: %w", backup, dataDir, err)
	}
	dir := filepath.Join(dataDir, storeDir)
	restored, err := store.Restore(ctx, backup, dir)
	if err != nil {
		return control.Backup{}, err
	}
	if err := copyHistory(filepath.Dir(restored.Path), dataDir); err != nil {
		return control.Backup{}, errors.Join(fmt.Errorf("restore the history of the limits: %w", err), os.RemoveAll(dir))
	}
	return control.Backup(restored), nil
}

// makeVacant makes a directory, with its parents, and returns those that it has
// made, the outermost first. One that is there must be empty, but for what a file
// system or a restore that was killed has left.
func makeVacant(dir string) (made []string, err error) {
	const private = 0o700
	there, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent := filepath.Dir(dir)
		if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != dir {
			if made, err = makeVacant(parent); err != nil {
				return made, err
			}
		}
		return append(made, dir), os.Mkdir(dir, private)
	case err != nil:
		return nil, err
	}
	for _, entry := range there {
		if name := entry.Name(); name != "lost+found" && name != storeDir+".partial" {
			return nil, fmt.Errorf("%s is not empty: nothing is overwritten", dir)
		}
	}
	return nil, nil
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
