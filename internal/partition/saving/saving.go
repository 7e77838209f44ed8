// Package saving backs up all partitions of a server. It fetches those that
// other servers of its cluster hold.
package saving

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"trackway/internal/datadir"
	"trackway/internal/partition"
	"trackway/internal/partition/stores"
	"trackway/internal/store/backup"
)

// Maker makes backups.
type Maker struct {
	Stores  *stores.Set
	DataDir string

	// The cluster; nil: the server stands alone. Holders returns what carries
	// requests to the servers that hold a partition, the best first. Latest
	// waits until this server has everything that any server has acknowledged
	// in a partition; an error means that it may lack some of it.

	Holders func(part int) []http.RoundTripper
	Latest  func(ctx context.Context, part int) error
	Server  string // a name of this server that no other has
}

// Made describes a backup.
type Made struct {
	Parts  []backup.Backup // of each partition; without a path if it was left out
	Unsure []int           // partitions of which the backup may lack what came last: no leader has answered
}

// Make backs up all partitions into a directory, and then the files beside
// them. It keeps the newest generations there, as many as keep says. With held,
// it leaves out what other servers hold. It makes all of a backup, or nothing.
func (m *Maker) Make(ctx context.Context, dir string, at time.Time, keep int, held bool) (made Made, err error) {
	n := m.Stores.Len()
	if err := datadir.ClaimBackups(dir, n); err != nil {
		return made, err
	}
	first := m.Stores.All()[0].Source()
	for part := range n { // the generations have the same name
		if at, err = backup.After(first.FS, datadir.BackupOf(dir, part, n), at); err != nil {
			return made, err
		}
	}
	pending := make([]*backup.Pending, n)
	defer func() {
		for _, p := range pending {
			if p != nil {
				err = p.End(err)
			}
		}
	}()
	for part, of := range m.Stores.All() {
		if of == nil && held {
			continue
		}
		src, unsure := first, false
		into := datadir.BackupOf(dir, part, n)
		if of != nil {
			src, unsure = of.Source(), m.latest(ctx, part) != nil
		} else {
			src.Staging, src.Alone = backup.Incoming(src.FS, into), new(sync.Mutex)
			src.Fetch = func(dir string, last backup.Tables) (left backup.Tables, err error) {
				left, unsure, err = m.fetch(ctx, part, dir, last)
				return left, err
			}
		}
		if m.Holders != nil {
			src.Store = m.Stores.Name() // the servers' stores of a partition have different names
		}
		if pending[part], err = backup.Begin(ctx, src, into, at); err != nil {
			return made, fmt.Errorf("back up to %s: %w", into, err)
		}
		if unsure {
			made.Unsure = append(made.Unsure, part)
		}
	}
	made.Parts = make([]backup.Backup, n)
	for _, end := range []func(part int, p *backup.Pending) error{
		func(_ int, p *backup.Pending) error { return p.Commit() },
		func(part int, p *backup.Pending) (err error) {
			made.Parts[part], err = p.Prune(keep)
			return err
		},
	} {
		for part, p := range pending {
			if p == nil {
				continue
			}
			if err := end(part, p); err != nil {
				return made, fmt.Errorf("back up to %s: %w", datadir.BackupOf(dir, part, n), err)
			}
		}
	}
	return made, datadir.Carry(m.DataDir, dir)
}

// latest waits until this server has what all have.
func (m *Maker) latest(ctx context.Context, part int) error {
	if m.Latest == nil {
		return nil
	}
	return m.Latest(ctx, part)
}

// fetch receives a copy of a partition from one of the servers that hold it.
func (m *Maker) fetch(ctx context.Context, part int, dir string, last backup.Tables) (left backup.Tables, unsure bool, err error) {
	failed := errors.New("no server is known to hold it")
	for _, holder := range m.Holders(part) {
		if left, unsure, failed = receive(ctx, holder, &asked{part, last}, dir); failed == nil {
			return left, unsure, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return left, false, fmt.Errorf("other servers hold partition %s, and none of them has sent it; "+
		"--held backs up what this server holds: %w", partition.Name(part), failed)
}
