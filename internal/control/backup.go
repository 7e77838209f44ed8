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
	Seq         uint64    `json:"seq"`   // of the last event in it
	Bytes       int64     `json:"bytes"` // of all its files
	Files       int       `json:"files"` // those that follow, together
	Kept        int       `json:"kept"`  // shared with the previous generation
	Linked      int       `json:"linked"`
	Copied      int       `json:"copied"`
	Generations int       `json:"generations"` // in the directory
}

// Saver backs up the store into a directory of backups, and keeps the newest
// generations there, as many as keep says.
type Saver func(ctx context.Context, dir string, keep int) (Backup, error)

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
		made, err = c.Save(c.r.Context(), dir, keep)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(&made)
}
