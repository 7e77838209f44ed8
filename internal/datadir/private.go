package datadir

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Private creates a directory for a store, and a missing data directory, and
// returns its path. It closes the store's directory to other users: the
// database creates files that everybody can read, and they contain customers'
// data. An existing data directory keeps its mode, which is the owner's choice;
// if other users can enter it, Private logs that.
func Private(dataDir, name string, log *slog.Logger) (string, error) {
	const private, others = 0o700, 0o077
	dir := filepath.Join(dataDir, name)
	if err := os.MkdirAll(dir, private); err != nil {
		return "", fmt.Errorf("create data directory: %w", err)
	}
	if err := os.Chmod(dir, private); err != nil {
		// Some file systems have no modes.
		log.Warn("the store's directory cannot be closed to other users of this machine", "err", err)
	}
	info, err := os.Stat(dataDir)
	if err != nil {
		return "", fmt.Errorf("look at the data directory: %w", err)
	}
	if mode := info.Mode().Perm(); mode&others != 0 {
		log.Warn("other users of this machine can enter the data directory; the store in it is closed to them, but other files may not be",
			"dir", dataDir, "mode", mode.String(), "better", os.FileMode(private).String())
	}
	return dir, nil
}
