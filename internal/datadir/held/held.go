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
}

// Read returns what a server with so many partitions holds.
func Read(dataDir string, partitions int) (*List, error) {
	l := new(List)
	b, err := os.ReadFile(filepath.Join(dataDir, File))
	if errors.Is(err, fs.ErrNotExist) {
		for i := 1; i < partitions; i++ {
			l.Held = append(l.Held, i)
		}
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(b, l)
	}
	if err != nil {
		return nil, fmt.Errorf("which partitions this server holds: %s: %w", filepath.Join(dataDir, File), err)
	}
	return l, nil
}

// Write notes the list. It is durable when Write returns.
func (l *List) Write(dataDir string) error {
	b, err := json.Marshal(List{append([]int{}, l.Held...), append([]int{}, l.Joining...)})
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

// Joined notes that the server is a member of a partition.
func (l *List) Joined(part int) { l.Joining = without(l.Joining, part) }

// Drop removes a partition.
func (l *List) Drop(part int) {
	l.Held, l.Joining = without(l.Held, part), without(l.Joining, part)
}

func without(all []int, part int) []int {
	return slices.DeleteFunc(slices.Clone(all), func(one int) bool { return one == part })
}

// Clear removes the files of the partitions that are not in the list, in the
// directories that have one for each partition: nothing is left of erased data
// that was in them. REQUIRES: nobody uses them.
func (l *List) Clear(partitions int, in ...string) error {
	var errs []error
	for part := range partitions {
		if l.Has(part) {
			continue
		}
		for _, dir := range in {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, partition.Name(part))))
		}
	}
	return errors.Join(errs...)
}
