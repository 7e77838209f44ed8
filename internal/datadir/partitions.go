package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"trackway/internal/datadir/held"
	"trackway/internal/durable"
	"trackway/internal/partition"
)

// partitionsFile has the number of partitions of a data directory or of a
// directory of backups. If there is only one, there is no such file.
const partitionsFile = "partitions"

// unmade follows the number until the first start has made all stores. From
// then on, a missing store is no new one: see [Fits].
const unmade = " (not all made yet)"

// Partitions returns the number of partitions of a data directory. A missing or
// empty one counts as one with one.
func Partitions(dataDir string) (int, error) {
	n, _, err := partitions(dataDir)
	return n, err
}

// partitions is [Partitions], and reports whether all stores have been made.
func partitions(dataDir string) (n int, made bool, err error) {
	path := filepath.Join(dataDir, partitionsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 1, false, nil
	} else if err != nil {
		return 0, false, err
	}
	number, begun := strings.CutSuffix(strings.TrimSpace(string(text)), unmade)
	n, err = strconv.Atoi(number)
	if err != nil || n < 2 || n > partition.Most {
		return 0, false, fmt.Errorf("%s: the content must be a number from 2 to %d: as many as there are directories %s, %s, …",
			path, partition.Most, partition.Name(0), partition.Name(1))
	}
	return n, !begun, nil
}

// Fits returns an error unless a data directory has n partitions, or no data
// yet. A store that has gone is an error, too: with an empty one in its place,
// its projects would begin again in any partition, and be in two when it is
// back.
func Fits(dataDir string, n int) error {
	have, made, err := partitions(dataDir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(StoreOf(dataDir, 0, 2)); err == nil && have == 1 {
		return fmt.Errorf("%s has partitions, but no file %s: a restore was interrupted, so empty the directory, and restore again", dataDir, partitionsFile)
	}
	if have == n && made {
		return whole(dataDir, n)
	} else if have == n {
		return nil
	}
	if have > 1 || hasStore(dataDir) {
		return fmt.Errorf("%s has partitions: %d, and the setting partitions is %d. The number is fixed when a data directory is made: "+
			"to have another one, export the data, and import it into a new data directory", dataDir, have, n)
	}
	return nil
}

// whole returns an error if a store of a data directory with several partitions
// is missing or empty, or if there is one more.
func whole(dataDir string, n int) error {
	gone, err := missing(dataDir, n)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		return fmt.Errorf("%s is missing or empty, although the data directory has been in use: mount it if it is a file system of its own, "+
			"or restore a backup into a new data directory", StoreOf(dataDir, gone[0], n))
	}
	if _, err := os.Stat(filepath.Join(dataDir, Store)); err == nil {
		return fmt.Errorf("%s has partitions, and also %s, as a version without partitions makes it: see what is in that, "+
			"by exporting from a copy, and remove it", dataDir, filepath.Join(dataDir, Store))
	}
	return nil
}

// missing returns the partitions that should have a store, and have none.
func missing(dataDir string, n int) (gone []int, err error) {
	list, err := held.Read(dataDir, n)
	if err != nil {
		return nil, err
	}
	for part := range n {
		if !list.Has(part) || list.Joins(part) {
			continue
		}
		state := filepath.Join(dataDir, partition.Name(part), State) // of a member of a cluster
		found := 0
		for _, dir := range []string{StoreOf(dataDir, part, n), state, state + ".replaced"} {
			there, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			found += len(there)
		}
		if found == 0 {
			gone = append(gone, part)
		}
	}
	return gone, nil
}

// Renew notes that a member of a cluster over Raft, with n partitions, has to
// get those again whose data is missing, and returns them. It does nothing
// without the log of the first partition: a server that is no member has its
// data from nobody else.
func Renew(dataDir string, n int) (gone []int, err error) {
	have, made, err := partitions(dataDir)
	if err != nil || have != n || !made {
		return nil, err
	}
	if there, err := os.ReadDir(filepath.Join(dataDir, Partition, Log)); err != nil || len(there) == 0 {
		return nil, nil //nolint:nilerr // there is no such log
	}
	if gone, err = missing(dataDir, n); err != nil || len(gone) == 0 || gone[0] == 0 {
		return nil, err
	}
	list, err := held.Read(dataDir, n)
	if err != nil {
		return nil, err
	}
	for _, part := range gone {
		// The rest of a copy is removed after this is noted. If there is no
		// rest, nothing must be removed: the server may end in between, and the
		// disk may be mounted when it starts again.
		if left, err := held.Left(dataDir, part); err != nil {
			return nil, err
		} else if left {
			list.Again(part)
		} else {
			list.Missing(part)
		}
	}
	return gone, list.Write(dataDir)
}

// Claim makes sure that a data directory has n partitions. It must be called
// before a store is opened there, and [Made] after all were.
func Claim(dataDir string, n int) error {
	if err := Fits(dataDir, n); err != nil || n == 1 {
		return err
	}
	if _, err := os.Stat(filepath.Join(dataDir, partitionsFile)); err == nil {
		return nil
	}
	const private = 0o700
	if err := os.MkdirAll(dataDir, private); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	return durable.Create(filepath.Join(dataDir, partitionsFile), fmt.Appendf(nil, "%d%s\n", n, unmade), ownerOnly)
}

// Made notes that all stores of n partitions have been made. Their directories
// are on the disk when it returns. It must be called before anything is stored.
func Made(dataDir string, n int) error {
	if _, made, err := partitions(dataDir); err != nil || made || n == 1 {
		return err
	}
	return durable.Replace(filepath.Join(dataDir, partitionsFile), fmt.Appendln(nil, n), ownerOnly)
}

// hasStore reports whether a data directory has the store of a server with one
// partition, or of a member of a cluster.
func hasStore(dataDir string) bool {
	for _, path := range []string{Store, filepath.Join(Partition, State)} {
		if _, err := os.Stat(filepath.Join(dataDir, path)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// StoreOf returns the directory of a partition's store in a data directory with
// n partitions.
func StoreOf(dataDir string, part, n int) string { return filepath.Join(dataDir, StoreIn(part, n)) }

// StoreIn returns the name of that directory within the data directory.
func StoreIn(part, n int) string {
	if n == 1 {
		return Store
	}
	return filepath.Join(partition.Name(part), Store)
}

// BackupOf returns the directory of a partition's backups in a directory of
// backups of n partitions.
func BackupOf(dir string, part, n int) string {
	if n == 1 {
		return dir
	}
	return filepath.Join(dir, partition.Name(part))
}

// ClaimBackups makes sure that a directory holds backups of n partitions only.
func ClaimBackups(dir string, n int) error {
	have, err := Partitions(dir)
	if err != nil || have == n {
		return err
	}
	if have > 1 || len(generationsIn(dir)) > 0 {
		return fmt.Errorf("back up to %s: it holds backups of another store: use a directory for each", dir)
	}
	const private = 0o700
	if err := os.MkdirAll(dir, private); err != nil {
		return err
	}
	return durable.Create(filepath.Join(dir, partitionsFile), fmt.Appendln(nil, n), ownerOnly)
}

// backupsIn returns what to restore for each partition from a directory of
// backups, or from one backup in it. newer is the name of the newest one there
// if that lacks partitions, and so another one is restored.
func backupsIn(backup string) (all []string, newer string, err error) {
	dir, generation := filepath.Clean(backup), ""
	if _, err := os.Stat(backup); errors.Is(err, fs.ErrNotExist) {
		dir, generation = filepath.Split(dir) // with several partitions, each has a directory of that name
	}
	n, err := Partitions(dir)
	if err != nil {
		return nil, "", err
	}
	if n == 1 {
		above := filepath.Dir(filepath.Clean(backup))
		for range 2 { // the backups of a partition, or one of them
			if n, err := Partitions(above); err == nil && n > 1 {
				return nil, "", fmt.Errorf("%s has one of %d partitions: restore %s", backup, n, above)
			}
			above = filepath.Dir(above)
		}
		return []string{backup}, "", nil
	}
	if generation == "" {
		generation, newer = newestOfAll(dir, n)
	}
	all = make([]string, n)
	for part := range all {
		all[part] = filepath.Join(BackupOf(dir, part, n), generation)
	}
	return all, newer, nil
}

// newestOfAll returns the name of the newest backup that has all of n
// partitions. It is empty if there are only backups of parts of the data, which
// somebody has put together. Then the newest one of each part counts. newer is
// the newest one of all, if that is a later one.
func newestOfAll(dir string, n int) (newest, newer string) {
	parts := make(map[string]int)
	for part := range n {
		for _, name := range generationsIn(BackupOf(dir, part, n)) {
			parts[name]++
			newer = max(newer, name)
		}
	}
	for name, has := range parts {
		if has == n {
			newest = max(newest, name)
		}
	}
	if newest == "" || newer == newest {
		newer = ""
	}
	return newest, newer
}

// generationsIn returns the names in a directory that are those of backups.
func generationsIn(dir string) (names []string) {
	there, _ := os.ReadDir(dir) // what cannot be read is missed when it is restored
	for _, entry := range there {
		if is, _ := filepath.Match("[0-9]*T*Z", entry.Name()); is { // the pattern is right
			names = append(names, entry.Name())
		}
	}
	return names
}
