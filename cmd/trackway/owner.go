package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// belongs returns an error unless a user owns the store in a data directory, or, where there is none, the directory. Whoever opens
// the store leaves files in it: those of root would keep a service that runs as another user from its next start. A directory
// that is not there belongs to anybody.
func belongs(dataDir string, uid int) error {
	for _, dir := range []string{filepath.Join(dataDir, "store"), dataDir} {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != uid {
			return fmt.Errorf("%s belongs to another user, whose server could not open it any more after this; use: sudo -u %s trackway …",
				dir, nameOf(stat.Uid))
		}
		return nil
	}
	return nil
}

// nameOf returns what sudo calls a user.
func nameOf(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return `\#` + id // as a shell has to have it
}
