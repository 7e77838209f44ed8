package datadir

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

// Belongs returns an error unless the user uid owns the store in a data
// directory or, if there is no store, the directory. Opening a store leaves
// files in it; files of root would prevent the next start of a service that
// runs as another user. A missing directory is fine for any user.
func Belongs(dataDir string, uid int) error {
	for _, dir := range []string{filepath.Join(dataDir, Store), filepath.Join(dataDir, Partition, Store), dataDir} {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != uid {
			return fmt.Errorf("%s belongs to another user, whose server could no longer open it afterwards; use: sudo -u %s trackway …",
				dir, nameOf(stat.Uid))
		}
		return nil
	}
	return nil
}

// nameOf returns the name of a user, as sudo accepts it.
func nameOf(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return `\#` + id // escaped for a shell
}
