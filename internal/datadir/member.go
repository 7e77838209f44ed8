package datadir

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"trackway/internal/config/membership"
	"trackway/internal/destination/kept"
	"trackway/internal/store"
	"trackway/internal/store/engine"
)

// CheckAlone returns an error if a data directory is that of a member. An empty
// directory in it does no harm: a start that failed has left it.
func CheckAlone(dataDir string) error {
	if _, err := os.Stat(filepath.Join(dataDir, Partition, State)); err != nil {
		return nil //nolint:nilerr // there is no such state
	}
	return fmt.Errorf("%s holds the data of a member of a cluster, and the configuration has no cluster: see docs/cluster.md", dataDir)
}

// Member returns the directory of a member's files in a data directory. If
// the data directory is that of a server that stood alone, its store becomes
// the member's. It refuses the data of a member with another kind of log: the
// two logs would go on from the same data in two ways.
func Member(dataDir, kind string, log *slog.Logger) (string, error) {
	dir, err := Private(dataDir, Partition, log)
	if err != nil {
		return "", err
	}
	mine, other := Log, Kafka
	if kind == membership.OverKafka {
		mine, other = other, mine
	}
	if _, err := os.Stat(filepath.Join(dir, other)); err == nil {
		return "", fmt.Errorf("%s holds the data of a member with another log than cluster.log: %s: see docs/cluster.md (From Raft to Kafka)",
			filepath.Join(dir, other), kind)
	}
	alone, state := filepath.Join(dataDir, Store), filepath.Join(dir, State)
	if _, err := os.Stat(alone); err != nil {
		return dir, nil //nolint:nilerr // there is no such store
	}
	if _, err := os.Stat(filepath.Join(dir, mine)); err == nil {
		return "", fmt.Errorf("%s holds the store of a server that stands alone (%s) and that of a member of a cluster (%s): move one of them away",
			dataDir, Store, Partition)
	}
	lock, err := engine.Lock(alone)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", alone, store.ErrInUse, err)
	}
	// First: a crash after the rename would leave it out.
	err = kept.Entrust(filepath.Join(dataDir, Destinations))
	if err == nil {
		err = os.Rename(alone, state)
	}
	return dir, errors.Join(err, lock.Close(), syncDir(dir), syncDir(dataDir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
