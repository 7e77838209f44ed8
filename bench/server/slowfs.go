package main

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// slowFS lengthens each sync of a file: the disk of a usual cloud machine takes 2 ms.
type slowFS struct {
	vfs.FS
	by time.Duration
}

// Create implements [vfs.FS].
func (fs slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return slowFile{f, fs.by}, err
}

// ReuseForWrite implements [vfs.FS].
func (fs slowFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(from, to, c)
	return slowFile{f, fs.by}, err
}

type slowFile struct {
	vfs.File
	by time.Duration
}

// Sync implements [vfs.File].
func (f slowFile) Sync() error {
	time.Sleep(f.by)
	return f.File.Sync()
}

// SyncData implements [vfs.File].
func (f slowFile) SyncData() error {
	time.Sleep(f.by)
	return f.File.SyncData()
}

// SyncTo implements [vfs.File].
func (f slowFile) SyncTo(length int64) (bool, error) { return f.File.SyncTo(length) }
