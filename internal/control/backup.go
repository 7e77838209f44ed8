package control

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"trackway/internal/ask"
	"trackway/internal/audit"
)

// Backup describes a backup that was made.
type Backup struct {
	Path        string    `json:"path"` // of this generation
	At          time.Time `json:"at"`
	Seq         uint64    `json:"seq"`              // of the last event in it, if there is one partition
	Seqs        []uint64  `json:"seqs,omitempty"`   // of the last event of each partition, if there are several
	Left        []int     `json:"left,omitempty"`   // partitions that are left out: other servers hold them
	Unsure      []int     `json:"unsure,omitempty"` // partitions whose end may be missing
	Bytes       int64     `json:"bytes"`            // of all its files
	Files       int       `json:"files"`            // those that follow, together
	Kept        int       `json:"kept"`             // shared with the previous generation
	Linked      int       `json:"linked"`
	Copied      int       `json:"copied"`
	Generations int       `json:"generations"` // in the directory
}

// Saver backs up all data into a directory of backups, and keeps the newest
// generations there, as many as keep says. With held, it leaves out what other
// servers hold.
type Saver func(ctx context.Context, dir string, keep int, held bool) (Backup, error)

// backup makes a backup. Its errors (the disk is full, the directory is not
// writable) are meant for the operator.
func (c *call) backup() error {
	dir := c.query.Get("dir")
	if !filepath.IsAbs(dir) {
		return ask.Invalid("dir", "an absolute path")
	}
	keep, err := strconv.Atoi(c.query.Get("keep"))
	if err != nil || keep < 1 {
		return ask.Invalid("keep", "a whole number of at least 1")
	}
	var made Backup
	err = c.recorded(audit.BackupMake, dir, func() (err error) {
		made, err = c.Save(c.r.Context(), dir, keep, c.query.Get("held") == "true")
		return err
	})
	if err != nil {
		return err
	}
	return c.json(&made)
}
