package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"trackway/internal/datadir"
)

// privateDir makes the store's directory, and the data directory where that is missing, and returns it. Nobody else on the machine may
// look into the store: its files are readable to all, as the database makes them, and hold customers. What mode the data
// directory has, where it was there, is its owner's to say; that others may look into it is logged.
func privateDir(dataDir string, log *slog.Logger) (string, error) {
	const private, others = 0o700, 0o077
	dir := filepath.Join(dataDir, datadir.Store)
	if err := os.MkdirAll(dir, private); err != nil {
		return "", fmt.Errorf("create data directory: %w", err)
	}
	if err := os.Chmod(dir, private); err != nil {
		log.Warn("the store's directory cannot be closed to other users of this machine", "err", err) // some file systems have no modes
	}
	info, err := os.Stat(dataDir)
	if err != nil {
		return "", fmt.Errorf("look at the data directory: %w", err)
	}
	if mode := info.Mode().Perm(); mode&others != 0 {
		log.Warn("the data directory is open to other users of this machine: the store in it is not, other files may be",
			"dir", dataDir, "mode", mode.String(), "better", os.FileMode(private).String())
	}
	return dir, nil
}
