// Package held notes which partitions a member of a cluster holds, in a file in
// its data directory. Without the file, it holds all. The members of a
// partition decide in their log which servers hold it. The file says what this
// server opens, and what it has yet to do.
package held

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"trackway/internal/durable"
	"trackway/internal/partition"
)

// File is the name of the file.
const File = "held.json"

// List is what a server holds. The zero value holds nothing but the first
// partition, which each member holds.
type List struct {
	Held    []int `json:"held"`    // partitions whose data is here; the first one is never in it
	Joining []int `json:"joining"` // of these, those that this server has to become a member of
	Gone    []int `json:"gone"`    // partitions whose data is removed at the next start, before any is opened
}

// Read returns what a server with so many partitions holds. If the data of a
// partition is there and the file does not mention it, the server holds it, and
// asks others whether it should.
func Read(dataDir string, partitions int) (*List, error) {
	path := filepath.Join(dataDir, File)
	l := new(List)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		for i := 1; i < partitions; i++ {
			l.Held = append(l.Held, i)
		}
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(b, l)
	}
	if err == nil && l.Held == nil {
		err = errors.New(`the content must be like {"held": [1, 2], "joining": [], "gone": []}`)
	}
	for _, part := range slices.Concat(l.Held, l.Joining, l.Gone) {
		if part < 1 || part >= partitions {
			err = errors.Join(err, fmt.Errorf("there is no partition %d besides %s, but those from 1 to %d", part, partition.Name(0), partitions-1))
		}
	}
	for part := 1; part < partitions && err == nil; part++ {
		left := false
		if !l.Has(part) && !slices.Contains(l.Gone, part) {
			left, err = Left(dataDir, part)
		}
		if left {
			l.Held = append(l.Held, part)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("which partitions this server holds: %s: %w", path, err)
	}
	return l, nil
}

// isData reports whether a file is one of ours, and not of the file system.
func isData(e os.DirEntry) bool { return e.Name() != "lost+found" }

// Whole returns an error if a data directory lacks partitions that other
// servers hold: it is then no use without them.
func Whole(dataDir string, partitions int) error {
	l, err := Read(dataDir, partitions)
	if err != nil {
		return err
	}
	for part := range partitions {
		if !l.Has(part) || l.Joins(part) {
			return fmt.Errorf("%s lacks partition %s, which other servers of a cluster hold over Raft: "+
				"restore a backup that has all partitions into a new data directory, or use one of a server that holds all", dataDir, partition.Name(part))
		}
	}
	return nil
}

// Write notes the list. It is durable when Write returns.
func (l *List) Write(dataDir string) error {
	b, err := json.Marshal(List{append([]int{}, l.Held...), append([]int{}, l.Joining...), append([]int{}, l.Gone...)})
	if err != nil {
		return err
	}
	const private = 0o600
	return durable.Replace(filepath.Join(dataDir, File), append(b, '\n'), private)
}

// Has reports whether the server holds a partition.
func (l *List) Has(part int) bool { return part == 0 || slices.Contains(l.Held, part) }

// Joins reports whether the server has to become a member of a partition.
func (l *List) Joins(part int) bool { return slices.Contains(l.Joining, part) }

// Join adds a partition of which the server has to become a member.
func (l *List) Join(part int) {
	if !l.Has(part) {
		l.Held, l.Joining = append(l.Held, part), append(l.Joining, part)
	}
}

// Again has the server get its copy of a partition again, as a new member: what
// is left of the old one is removed at the next start.
func (l *List) Again(part int) {
	if part > 0 {
		l.Missing(part)
		l.Gone = append(without(l.Gone, part), part)
	}
}

// Missing has the server get its copy of a partition again, of which nothing is
// left. If there is one at the next start, because its disk is mounted by then,
// that stays.
func (l *List) Missing(part int) {
	if part > 0 {
		l.Held, l.Joining = append(without(l.Held, part), part), append(without(l.Joining, part), part)
	}
}

// Left reports whether there is data in the directory of a partition.
func Left(dataDir string, part int) (bool, error) {
	there, err := os.ReadDir(filepath.Join(dataDir, partition.Name(part)))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return slices.ContainsFunc(there, isData), err
}

// Joined notes that the server is a member of a partition.
func (l *List) Joined(part int) { l.Joining = without(l.Joining, part) }

// Drop removes a partition, and its data at the next start.
func (l *List) Drop(part int) {
	if part > 0 {
		l.Held, l.Joining, l.Gone = without(l.Held, part), without(l.Joining, part), append(without(l.Gone, part), part)
	}
}

func without(all []int, part int) []int {
	return slices.DeleteFunc(slices.Clone(all), func(one int) bool { return one == part })
}

// Clear removes the files of the partitions that were dropped, in the
// directories that have one for each partition: nothing is left of erased data
// that was in them. It removes nothing else, and only once. REQUIRES: nobody
// uses them.
func (l *List) Clear(dataDir string, in ...string) error {
	if len(l.Gone) == 0 {
		return nil
	}
	var errs []error
	for _, dir := range in {
		for _, part := range l.Gone {
			errs = append(errs, remove(filepath.Join(dir, partition.Name(part))))
		}
		errs = append(errs, sync(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	l.Gone = nil
	return l.Write(dataDir)
}

// remove removes a directory. One that is a file system of its own stays, and
// is then empty.
func remove(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	if left, _ := os.ReadDir(dir); slices.ContainsFunc(left, isData) {
		return err
	}
	return nil
}

// sync makes what was removed from a directory stay removed.
func sync(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
