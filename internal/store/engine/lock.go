package engine

import (
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Lock keeps others from opening the store in a directory, until the lock is
// closed. It returns an error if somebody has it open.
func Lock(dir string) (io.Closer, error) { return vfs.Default.Lock(filepath.Join(dir, "LOCK")) }
