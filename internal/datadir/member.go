package datadir

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"trackway/internal/config/membership"
	"trackway/internal/datadir/held"
	"trackway/internal/destination/kept"
	"trackway/internal/partition"
	"trackway/internal/store"
	"trackway/internal/store/engine"
)

// CheckAlone returns an error if a data directory with n partitions is that of
// a member, or was, and lacks some of them. An empty directory in it does no
// harm: a start that failed has left it.
func CheckAlone(dataDir string, n int) error {
	if _, err := os.Stat(filepath.Join(dataDir, Partition, State)); err != nil { // there is no such state
		return held.Whole(dataDir, n)
	}
	return fmt.Errorf("%s holds the data of a member of a cluster, and the configuration has no cluster: see docs/cluster.md", dataDir)
}

// Member returns the directory of a member's files for one of n partitions in a
// data directory. If the data directory is that of a server that stood alone,
// the partition's store becomes the member's. It refuses the data of a member
// with another kind of log: the two logs would go on from the same data in two
// ways.
func Member(dataDir string, part, n int, kind string, log *slog.Logger) (string, error) {
	name := partition.Name(part)
	dir, err := Private(dataDir, name, log)
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
	alone, state := StoreOf(dataDir, part, n), filepath.Join(dir, State)
	if _, err := os.Stat(alone); err != nil {
		return dir, nil //nolint:nilerr // there is no such store
	}
	if _, err := os.Stat(filepath.Join(dir, mine)); err == nil {
		return "", fmt.Errorf("%s holds the store of a server that stands alone (%s) and that of a member of a cluster (%s): move one of them away",
			dataDir, StoreIn(part, n), name)
	}
	lock, err := engine.Lock(alone)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", alone, store.ErrInUse, err)
	}
	// First: a crash after the rename would leave it out.
	err = kept.Entrust(DestinationsOf(dataDir, part, n))
	if err == nil {
		err = os.Rename(alone, state)
	}
	return dir, errors.Join(err, lock.Close(), syncDir(dir), syncDir(dataDir))
}

// Copied returns the names in the data directory of a member, with n
// partitions, that are about what the other members have, too. Everything else
// is this server's own: keys, users, the audit log.
func Copied(n int) (names []string) {
	for part := range n {
		names = append(names, partition.Name(part))
	}
	if n > 1 {
		names = append(names, held.File, partitionsFile)
	}
	return names
}

// DestinationsOf returns the directory of what the destinations of one of n
// partitions keep.
func DestinationsOf(dataDir string, part, n int) string {
	dir := filepath.Join(dataDir, Destinations)
	if n > 1 {
		dir = filepath.Join(dir, partition.Name(part))
	}
	return dir
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
