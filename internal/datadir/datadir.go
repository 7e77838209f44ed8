// Package datadir works on a data directory without a running server: it
// restores one from a backup, salvages a damaged one, and makes one ready for a
// server that starts. It also knows the names of the directories in it.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"trackway/internal/audit"
	"trackway/internal/certificate"
	"trackway/internal/config"
	"trackway/internal/durable"
	"trackway/internal/limit/history"
	"trackway/internal/store"
)

// The directories in a data directory.
const (
	Store     = "store"   // of a server with one partition; with several, it is in the directory of each
	Traffic   = "traffic" // the recorded calls
	Partition = "p00"     // of a member of a cluster, with State and Log in it

	Destinations = "destinations" // the files that they keep
)

// The directories of a member of a cluster, in [Partition].
const (
	State = "state"
	Log   = "log"
	Kafka = "kafka" // instead of Log, if brokers keep the log
)

// Restored describes what was restored: of each partition, if there are
// several.
type Restored struct {
	Path  string // of the backup
	Parts []store.Backup
	Newer string // the name of a newer backup there, which lacks partitions, if there is one
}

// Apart reports whether the parts are of different backups.
func (r *Restored) Apart() bool {
	return slices.ContainsFunc(r.Parts, func(p store.Backup) bool { return !p.At.Equal(r.Parts[0].At) })
}

// Restore makes a data directory from a backup: from a given one, or from the
// newest in a directory of backups. The data directory must be missing or
// empty, except for the managed keys, the certificates and the audit log, which
// stay as they are. Restore opens and reads the whole result. If it returns an
// error, nothing has changed.
func Restore(ctx context.Context, backup, dataDir string) (_ Restored, err error) {
	parts, newer, err := backupsIn(backup)
	if err != nil {
		return Restored{}, err
	}
	var made []string
	vacant, err := makeVacant(dataDir)
	defer func() {
		for i := len(made) - 1; err != nil && i >= 0; i-- {
			_ = os.RemoveAll(made[i]) // nothing but what was restored is there
		}
		for i := len(vacant) - 1; err != nil && i >= 0; i-- {
			_ = os.Remove(vacant[i]) // it stays if it is no longer empty
		}
	}()
	if err != nil {
		return Restored{}, fmt.Errorf("restore %s into %s: %w", backup, dataDir, err)
	}
	r := Restored{Path: backup, Newer: newer}
	for part, from := range parts {
		dir := StoreOf(dataDir, part, len(parts))
		made = append(made, dir)
		b, err := store.Restore(ctx, from, dir)
		if len(parts) > 1 { // the directory around it is new, too
			made[len(made)-1] = filepath.Dir(dir)
		}
		if err != nil {
			return r, err
		}
		r.Parts = append(r.Parts, b)
	}
	beside := filepath.Dir(r.Parts[0].Path)
	if len(parts) == 1 {
		r.Path = r.Parts[0].Path
	} else {
		beside = filepath.Dir(beside)
	}
	files, err := carry(beside, dataDir, durable.Create)
	if made = append(made, files...); err != nil {
		return r, fmt.Errorf("restore the files beside the store: %w", err)
	}
	if len(parts) > 1 { // last: without it, what a crash has left is no data directory
		err = durable.Create(filepath.Join(dataDir, partitionsFile), fmt.Appendln(nil, len(parts)), ownerOnly)
	}
	return r, err
}

// makeVacant makes a directory with its parents, and returns those that it has
// made, the outermost first. An existing directory must be empty, except for
// what stays, and what a file system or a killed restore has left.
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
		if name := entry.Name(); name != "lost+found" && name != Store+".partial" && !slices.Contains(stays, name) {
			return nil, fmt.Errorf("%s is not empty: nothing is overwritten", dir)
		}
	}
	return nil, nil
}

const ownerOnly = 0o600

// stays are the files that a restore leaves as they are: keys that the backup
// does not know may be revoked, and what was done since must not be forgotten.
var stays = []string{config.ManagedFile, certificate.Dir, audit.File, audit.AnchorFile}

// carried are the files beside the store that a backup also contains. All
// generations share the latest copy: the history of limits only ever grows, and
// older keys could bring back a revoked one.
var carried = [...]string{history.File, config.ManagedFile, audit.File}

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

// Lost describes what is lost with a damaged write-ahead log.
type Lost = store.Lost

// Salvage returns what is lost if a write-ahead log in a data directory is
// damaged: for each partition, nil if nothing is lost. With drop, it removes
// the damaged parts, so that the server can start without them. See
// [store.Salvage].
func Salvage(dataDir string, log *slog.Logger, drop bool) ([]*Lost, error) {
	n, made, err := partitions(dataDir)
	if err == nil && made && n > 1 {
		err = whole(dataDir, n)
	}
	if err != nil {
		return nil, err
	}
	lost := make([]*Lost, n)
	for part := range n {
		dir := StoreOf(dataDir, part, n)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && n > 1 {
			continue // the first start did not come that far
		} else if err != nil {
			return nil, fmt.Errorf("there is no data: %w", err)
		}
		if lost[part], err = store.Salvage(dir, store.Options{Log: log, Fatal: Fatal(log)}, drop); err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// Fatal returns a function that ends the process when the store cannot
// continue.
func Fatal(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("the store cannot continue: stopping; no acknowledged data is lost", "err", err.Error())
		os.Exit(1) //nolint:forbidigo // a clean stop would write more to a disk that has failed
	}
}
