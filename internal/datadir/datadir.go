// Package datadir works on a data directory without a running server: it
// restores one from a backup, and salvages a damaged one. It also knows the
// names of the directories in it.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"trackway/internal/certificate"
	"trackway/internal/config"
	"trackway/internal/durable"
	"trackway/internal/limit/history"
	"trackway/internal/store"
)

// The directories in a data directory.
const (
	Store     = "store"
	Traffic   = "traffic" // the recorded calls
	Partition = "p00"     // of a member of a cluster, with State and Log in it
)

// The directories of a member of a cluster, in [Partition].
const (
	State = "state"
	Log   = "log"
	Kafka = "kafka" // instead of Log, if brokers keep the log
)

// Restore makes a data directory from a backup: from a given one, or from the
// newest in a directory of backups. The data directory must be missing or
// empty, except for the managed keys and the certificates, which stay as they
// are. Restore opens and reads the whole result. If it returns an error,
// nothing has changed.
func Restore(ctx context.Context, backup, dataDir string) (_ store.Backup, err error) {
	var made []string
	defer func() {
		for i := len(made) - 1; err != nil && i >= 0; i-- {
			_ = os.Remove(made[i]) // it stays if it is no longer empty
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
	files, err := carry(filepath.Dir(restored.Path), dataDir, durable.Create)
	if made = append(made, files...); err != nil {
		return store.Backup{}, errors.Join(fmt.Errorf("restore the files beside the store: %w", err), os.RemoveAll(dir))
	}
	return restored, nil
}

// makeVacant makes a directory with its parents, and returns those that it has
// made, the outermost first. An existing directory must be empty, except for
// the managed keys, the certificates, and what a file system or a killed
// restore has left.
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
		if name := entry.Name(); name != "lost+found" && name != Store+".partial" && name != config.ManagedFile && name != certificate.Dir {
			return nil, fmt.Errorf("%s is not empty: nothing is overwritten", dir)
		}
	}
	return nil, nil
}

// carried are the files beside the store that a backup also contains. All
// generations share the latest copy: the history of limits only ever grows, and
// older keys could bring back a revoked one.
var carried = [...]string{history.File, config.ManagedFile}

// Carry copies these files from a data directory to a directory of backups.
func Carry(from, to string) error {
	_, err := carry(from, to, durable.Replace)
	return err
}

// carry copies those of the files that exist, and returns the files that it
// made. Files that write refuses to replace stay as they are.
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

// Salvage returns what is lost if the write-ahead log in a data directory is
// damaged, or nil if nothing is lost. With drop, it removes the damaged part,
// so that the store can start without it. See [store.Salvage].
func Salvage(dataDir string, log *slog.Logger, drop bool) (*store.Lost, error) {
	dir := filepath.Join(dataDir, Store)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no data: %w", err)
	}
	return store.Salvage(dir, store.Options{Log: log, Fatal: Fatal(log)}, drop)
}

// Fatal returns a function that ends the process when the store cannot
// continue.
func Fatal(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("the store cannot continue: stopping; no acknowledged data is lost", "err", err.Error())
		os.Exit(1) //nolint:forbidigo // a clean stop would write more to a disk that has failed
	}
}
