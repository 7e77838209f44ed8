package scrub

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/sleep"
)

// Files is the file system that Pebble uses. It can make Pebble write its log
// only to new files. Usually Pebble overwrites an old file from its beginning,
// which leaves old bytes after the new ones.
type Files struct {
	vfs.FS

	fresh     atomic.Bool
	manifests atomic.Int64 // number of manifests created since the start
}

// NewFiles inserts itself between Pebble and the file system in po.
func NewFiles(po *pebble.Options) *Files {
	f := &Files{FS: po.FS}
	po.FS = f
	po.AddEventListener(pebble.EventListener{ManifestCreated: func(info pebble.ManifestCreateInfo) {
		if info.Err == nil {
			f.manifests.Add(1)
		}
	}})
	return f
}

// ReuseForWrite implements [vfs.FS].
func (f *Files) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !f.fresh.Load() {
		return f.FS.ReuseForWrite(old, name, category)
	}
	if err := f.Remove(old); err != nil {
		return nil, err
	}
	return f.Create(name, category)
}

// Unwrap implements [vfs.FS].
func (f *Files) Unwrap() vfs.FS { return f.FS }

// list returns the names in dir of one kind of Pebble's files.
func (f *Files) list(dir string, kind func(name string) bool) (map[string]bool, error) {
	names, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool)
	for _, name := range names {
		if kind(name) {
			found[name] = true
		}
	}
	return found, nil
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

func isManifest(name string) bool { return strings.HasPrefix(name, "MANIFEST-") }

// look is how often to check whether unused files are gone. Pebble removes them
// in the background, or when the last reader closes them.
const look = 20 * time.Millisecond

// waitGone waits until none of these files exists.
func (f *Files) waitGone(ctx context.Context, dir string, names map[string]bool) error {
	return poll(ctx, func() (bool, error) {
		there, err := f.list(dir, func(name string) bool { return names[name] })
		return len(there) == 0, err
	})
}

// poll calls done repeatedly until it returns true or an error.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := sleep.For(ctx, look); err != nil {
			return err
		}
	}
}
