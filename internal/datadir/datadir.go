// Package datadir is the data directory while no server runs on it: it makes one
// of a backup, and salvages what is left of a damaged one. It also knows what
// lies where in it.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"trackway/internal/durable"
	"trackway/internal/limit/history"
	"trackway/internal/store"
)

// The folders in a data directory.
const (
	Store   = "store"
	Traffic = "traffic" // the record of calls
)

// Restore makes a data directory of a backup: of one, or of the newest in a
// directory of backups. The data directory must be empty, or not be there. The
// result was opened and read in full. With an error nothing has changed.
func Restore(ctx context.Context, backup, dataDir string) (_ store.Backup, err error) {
	var made []string
	defer func() {
		for i := len(made) - 1; err != nil && i >= 0; i-- {
			_ = os.Remove(made[i]) // it stays if somebody has put something there meanwhile
		}
	}()
	if made, err = makeVacant(dataDir); err != nil {
		return store.Backup{}, fmt.Errorf("restore %s into %s: %w", backup, dataDir, err)
	}
	dir := filepath.Join(dataDir, Store)
	restored, err := store.Restore(ctx, backup, dir)
	if err != nil {
		return store.Backup{}, err
	}
	if err := CopyHistory(filepath.Dir(restored.Path), dataDir); err != nil {
		return store.Backup{}, errors.Join(fmt.Errorf("restore the history of the limits: %w", err), os.RemoveAll(dir))
	}
	return restored, nil
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
		if name := entry.Name(); name != "lost+found" && name != Store+".partial" {
			return nil, fmt.Errorf("%s is not empty: nothing is overwritten", dir)
		}
	}
	return nil, nil
}

// CopyHistory copies the record of changed limits between a data directory and a
// directory of backups. If there is none, no server ever ran there.
func CopyHistory(from, to string) error {
	text, err := os.ReadFile(filepath.Join(from, history.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	const ownerOnly = 0o600
	return durable.Replace(filepath.Join(to, history.File), text, ownerOnly)
}

// Salvage tells what is lost if the write-ahead log in a data directory is
// damaged, and nil if nothing is. With drop the store goes on without it. See
// [store.Salvage].
func Salvage(dataDir string, log *slog.Logger, drop bool) (*store.Lost, error) {
	dir := filepath.Join(dataDir, Store)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no data: %w", err)
	}
	return store.Salvage(dir, store.Options{Log: log, Fatal: Fatal(log)}, drop)
}

// Fatal returns what ends the process if the store cannot go on.
func Fatal(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("the store cannot go on: stopping; nothing that was acknowledged is lost by that", "err", err.Error())
		os.Exit(1) //nolint:forbidigo // a clean stop would go on writing to a disk that has failed
	}
}
