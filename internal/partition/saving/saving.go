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
	Unsure []int           // partitions of which the backup may lack what came last
}

// Make backs up all partitions into a directory, and then the files beside
// them. It keeps the newest generations there, as many as keep says. With held,
// it leaves out what other servers hold. It makes all of a backup, or nothing.
func (m *Maker) Make(ctx context.Context, dir string, at time.Time, keep int, held bool) (_ Made, err error) {
	n := m.Stores.Len()
	if err := datadir.ClaimBackups(dir, n); err != nil {
		return Made{}, err
	}
	w := &work{Maker: m, dir: dir, at: at, pending: make([]*backup.Pending, n), made: Made{Parts: make([]backup.Backup, n)}}
	for part := range n { // the generations have the same name
		if w.at, err = backup.After(m.Stores.All()[0].Source().FS, w.into(part), w.at); err != nil {
			return Made{}, err
		}
	}
	defer func() { err = w.end(err) }()
	for part, of := range m.Stores.All() {
		if of == nil && held {
			continue
		}
		if err := w.begin(ctx, part); err != nil {
			return Made{}, fmt.Errorf("back up to %s: %w", w.into(part), err)
		}
	}
	err = w.each(func(_ int, p *backup.Pending) error { return p.Commit() })
	if err == nil {
		err = w.each(func(part int, p *backup.Pending) (err error) {
			w.made.Parts[part], err = p.Prune(keep)
			return err
		})
	}
	if err != nil {
		return Made{}, fmt.Errorf("back up to %s: %w", dir, err)
	}
	return w.made, datadir.Carry(m.DataDir, dir)
}

// work is a backup that is being made.
type work struct {
	*Maker

	dir     string
	at      time.Time
	pending []*backup.Pending // of each partition; nil: none
	made    Made
}

// into returns the directory of a partition.
func (w *work) into(part int) string { return datadir.BackupOf(w.dir, part, w.Stores.Len()) }

// begin makes the generation of a partition, up to its final name.
func (w *work) begin(ctx context.Context, part int) (err error) {
	src, unsure := w.Stores.All()[0].Source(), false
	if of := w.Stores.All()[part]; of != nil {
		src, unsure = of.Source(), w.latest(ctx, part) != nil
	} else {
		src.Staging, src.Alone = backup.Incoming(src.FS, w.into(part)), new(sync.Mutex)
		src.Fetch = func(dir string, last backup.Tables) (left backup.Tables, err error) {
			left, unsure, err = w.fetch(ctx, part, dir, last)
			return left, err
		}
	}
	// The stores of a partition have different names at different servers, and
	// a restored one has that of any of them. That of the first one stays.
	src.Store, src.Was = w.Stores.Name(), src.Store
	w.pending[part], err = backup.Begin(ctx, src, w.into(part), w.at)
	if unsure {
		w.made.Unsure = append(w.made.Unsure, part)
	}
	return err
}

// each does something with all generations.
func (w *work) each(do func(part int, p *backup.Pending) error) error {
	for part, p := range w.pending {
		if p == nil {
			continue
		}
		if err := do(part, p); err != nil {
			return err
		}
	}
	return nil
}

// end lets other backups be made, and returns err, or its own error.
func (w *work) end(err error) error {
	_ = w.each(func(_ int, p *backup.Pending) error {
		err = p.End(err)
		return nil
	})
	return err
}

// latest waits until this server has what all have.
func (m *Maker) latest(ctx context.Context, part int) error {
	if m.Latest == nil {
		return nil
	}
	return m.Latest(ctx, part)
}

// fetch receives a copy of a partition from one of the servers that hold it. It
// asks the one first that has sent the last backup: others have other tables.
func (m *Maker) fetch(ctx context.Context, part int, dir string, last backup.Tables) (left backup.Tables, unsure bool, err error) {
	failed := errors.New("no server is known to hold it")
	for _, again := range []bool{true, false} {
		for _, holder := range m.Holders(part) {
			if again && last.From == "" || ctx.Err() != nil {
				break
			}
			if left, unsure, failed = receive(ctx, holder, &asked{part, last, again}, dir); failed == nil {
				return left, unsure, nil
			}
		}
	}
	return left, false, fmt.Errorf("other servers hold partition %s, and none of them has sent it; "+
		"--held backs up what this server holds: %w", partition.Name(part), failed)
}
