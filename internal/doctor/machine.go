package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"trackway/internal/datadir"
	"trackway/internal/limit/history"
)

// The expectations of a machine. A usual cloud disk syncs in 2 ms, and a
// request is acknowledged after one sync.
const (
	syncRounds  = 100
	syncTooFast = 20 * time.Microsecond // no disk is that fast
	syncSlow    = 20 * time.Millisecond
	syncTail    = 200 * time.Millisecond
	syncUseless = 200 * time.Millisecond

	spaceLow   = 2 << 30
	spaceNone  = 256 << 20
	shareLow   = 0.05
	filesLow   = 4096 // each connection takes one, and the store needs some
	filesNone  = 512
	futureFile = 2 * time.Minute
)

// dataDir returns the data directory or, if it does not exist yet, the
// directory in which it will be created.
func (x *examination) dataDir() (dir string, there bool, err error) {
	dir, err = filepath.Abs(x.Config.DataDir)
	for there = true; err == nil; there = false {
		var info fs.FileInfo
		if info, err = os.Stat(dir); err == nil {
			if !info.IsDir() {
				err = fmt.Errorf("%s is not a directory", dir)
			}
			return dir, there, err
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir, false, err
		}
		dir, err = filepath.Dir(dir), nil
	}
	return dir, false, err
}

func (x *examination) disk() {
	const check = "disk sync"
	dir, _, err := x.dataDir()
	if err != nil {
		x.fail(check, "make data_dir a directory that the server may write to", "%v", err)
		return
	}
	times, err := x.Host.Sync(dir, syncRounds)
	if err != nil || len(times) == 0 {
		x.fail(check, "run doctor as the user that the server runs as, and let that user write to data_dir",
			"%s cannot be written to: %v", dir, err)
		return
	}
	slices.Sort(times)
	median, p99 := times[len(times)/2], times[len(times)*99/100]
	found := fmt.Sprintf("median %v, p99 %v in %s", round(median), round(p99), dir)
	switch {
	case median > syncUseless:
		x.fail(check, "every acknowledgment waits for a sync: put data_dir on another disk", "%s", found)
	case median > syncSlow || p99 > syncTail:
		x.warn(check, "every acknowledgment waits for a sync: an SSD of its own takes 2 ms or less", "%s", found)
	case median < syncTooFast:
		x.warn(check, "no disk is that fast: data_dir is in memory, or on something that does not wait for its disk, and a power cut loses "+
			"what was acknowledged", "%s", found)
	default:
		x.ok(check, "%s", found)
	}
}

func round(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}

func (x *examination) space() {
	const check = "disk space"
	dir, _, err := x.dataDir()
	if err != nil {
		return // disk has reported it
	}
	free, total, err := x.Host.Free(dir)
	if err != nil {
		x.warn(check, "look at it yourself: df "+dir, "cannot be determined: %v", err)
		return
	}
	share := float64(free) / float64(max(total, 1))
	found := fmt.Sprintf("%.1f GB free of %.1f GB (%.0f %%) in %s", float64(free)/1e9, float64(total)/1e9, 100*share, dir)
	switch {
	case free < spaceNone:
		x.fail(check, "a full disk stops all tracking: free some space now", "%s", found)
	case free < spaceLow || share < shareLow:
		x.warn(check, "a million events of 500 bytes take 0.1 to 0.3 GB: free some space, or move data_dir", "%s", found)
	default:
		x.ok(check, "%s", found)
	}
}

// modes checks which other users can read customers' data. The mode of the
// configuration file is among its warnings.
func (x *examination) modes() {
	const check = "file modes"
	dir, there, err := x.dataDir()
	if err != nil {
		return // disk has reported it
	}
	if !there {
		x.ok(check, "%s does not exist yet; the server will create it so that only its own user can enter it", x.Config.DataDir)
		return
	}
	info, err := os.Stat(dir)
	if err != nil {
		x.fail(check, "make data_dir readable for the server's user", "%v", err)
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		x.warn(check, "it holds personal data: chmod 700 "+dir, "other users can enter %s (mode %#o)", dir, mode)
		return
	}
	x.ok(check, "only the owner can enter %s", dir)
}

// partitions checks whether the server can start with the data that is there.
func (x *examination) partitions() {
	if err := datadir.Fits(x.Config.DataDir, int(x.Config.Partitions)); err != nil {
		x.fail("partitions", "set partitions to what the data directory has", "%v", err)
	}
}

// history looks for lines of the limits' history that a start has put aside.
func (x *examination) history() {
	path := filepath.Join(x.Config.DataDir, history.File+history.DamagedSuffix)
	if info, err := os.Stat(path); err == nil {
		x.warn("limits history", "check the disk, then remove that file; the limits in force are not affected",
			"damaged lines were moved to this file on %s: %s", info.ModTime().UTC().Format(time.DateOnly), path)
	}
}

func (x *examination) openFiles() {
	const check = "open files"
	n, err := x.Host.Files()
	advice := "raise the limit where the server is started: ulimit -n 65536, or LimitNOFILE=65536 in its systemd unit"
	switch {
	case err != nil:
		x.warn(check, "look at it yourself: ulimit -n", "cannot be determined: %v", err)
	case n < filesNone:
		x.fail(check, advice, "a process may have %d open: each connection is one, and the store needs some hundreds", n)
	case n < filesLow:
		x.warn(check, advice, "a process may have %d open: each connection is one", n)
	default:
		x.ok(check, "a process may have %d open", n)
	}
}

// futureFiles returns how far the newest file in the data directory is ahead of
// the clock.
func (x *examination) futureFiles(now time.Time) time.Duration {
	dir, there, err := x.dataDir()
	if err != nil || !there {
		return 0
	}
	var ahead time.Duration
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a file that was removed meanwhile
		}
		if info, err := entry.Info(); err == nil {
			ahead = max(ahead, info.ModTime().Sub(now))
		}
		return nil
	})
	return ahead
}
