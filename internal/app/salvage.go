package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"trackway/internal/store"
)

// Salvage tells what is lost if the write-ahead log in a data directory is
// damaged, and nil if nothing is. With drop the store goes on without it. See
// [store.Salvage].
func Salvage(dataDir string, log *slog.Logger, drop bool) (*store.Lost, error) {
	dir := filepath.Join(dataDir, storeDir)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no data: %w", err)
	}
	return store.Salvage(dir, store.Options{Log: log, Fatal: ends(log)}, drop)
}

// ends returns what ends the process if the store cannot go on.
func ends(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("the store cannot go on: stopping; nothing that was acknowledged is lost by that", "err", err.Error())
		os.Exit(1) //nolint:forbidigo // a clean stop would go on writing to a disk that has failed
	}
}
