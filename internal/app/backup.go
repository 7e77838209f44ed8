package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/durable"
	"trackway/internal/limit/history"
	"trackway/internal/store"
)

// carried are the files beside the store that a backup holds, too. The latest
// copy serves all generations: the record of changed limits only ever grows, and
// keys are wanted as they were last, lest one that was revoked returns.
var carried = [...]string{history.File, config.ManagedFile}

// backup backs up what the data directory holds: the store, and the files that
// are carried.
func (s *server) backup(ctx context.Context, dir string, keep int) (control.Backup, error) {
	made, err := s.store.Backup(ctx, dir, time.Now(), keep)
	if err != nil {
		return control.Backup{}, err
	}
	_, err = carry(s.Config.DataDir, dir, durable.Replace)
	return control.Backup(made), err
}

// Restore makes a data directory out of a backup: a directory of backups, whose
// newest is taken, or one of them. The data directory must be empty, but for the
// managed keys, which stay as they are, or not be there. The result was opened and
// read in full. With an error nothing has changed.
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
	files, err := carry(filepath.Dir(restored.Path), dataDir, durable.Create)
	if made = append(made, files...); err != nil {
		return control.Backup{}, errors.Join(fmt.Errorf("restore what was beside the store: %w", err), os.RemoveAll(dir))
	}
	return control.Backup(restored), nil
}

// makeVacant makes a directory, with its parents, and returns those that it has
// made, the outermost first. One that is there must be empty, but for the managed
// keys and what a file system or a restore that was killed has left.
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
		if name := entry.Name(); name != "lost+found" && name != storeDir+".partial" && name != config.ManagedFile {
			return nil, fmt.Errorf("%s is not empty: nothing is overwritten", dir)
		}
	}
	return nil, nil
}

// carry copies the files that are carried, as far as they are there, and returns
// what it made. Files that write refuses to replace stay as they are.
func carry(from, to string, write func(path string, data []byte, perm fs.FileMode) error) (made []string, err error) {
	for _, name := range carried {
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return made, err
		}
		const ownerOnly = 0o600
		path := filepath.Join(to, name)
		switch err := write(path, text, ownerOnly); {
		case err == nil:
			made = append(made, path)
		case !errors.Is(err, fs.ErrExist):
			return made, err
		}
	}
	return made, nil
}
