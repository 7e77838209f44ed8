package alarm

import (
	"slices"
	"syscall"
	"time"
)

// disk is how full a file system is.
type disk struct {
	Folder      string // one that lies on it
	Free, Bytes uint64 // both 0: it has not answered yet
}

// fileSystem identifies a file system. Some have the id 0, and a folder with a
// quota of its own may have the size of the quota, so the size counts too.
type fileSystem struct {
	id     syscall.Fsid
	blocks uint64
}

// same reports whether two are the same. The size of some file systems, such as
// those of ZFS, changes all the time: it is what other data leaves them.
func (f fileSystem) same(other fileSystem) bool {
	least, most := min(f.blocks, other.blocks), max(f.blocks, other.blocks)
	return f.id == other.id && most-least <= most/100
}

// disks looks at the file systems that folders lie on. A file system of another
// machine may not answer for hours, so each look has a goroutine of its own,
// and at most one for each folder. The zero value is ready. It must not be used
// concurrently.
type disks struct{ looks map[string]*look }

// look is what is known of a folder.
type look struct {
	answer  chan *looked // holds one
	pending bool
	last    *looked // nil: unknown
}

type looked struct {
	disk

	on fileSystem
}

// patience is how long a round waits for file systems. A later answer counts in
// a later round.
const patience = time.Second

// take returns the file systems of folders, each once, under the first of its
// folders. A folder that does not exist is left out. One that has not answered
// yet is there without a size.
func (d *disks) take(folders []string) (all []disk) {
	next := make(map[string]*look, len(folders))
	for _, folder := range folders {
		l := d.looks[folder]
		if l == nil {
			l = &look{answer: make(chan *looked, 1)}
		}
		if !l.pending {
			l.pending = true
			go func() { l.answer <- lookAt(folder) }()
		}
		next[folder] = l
	}
	d.looks = next
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	late := false
	var seen []fileSystem
	for _, folder := range folders {
		l := next[folder]
		late = l.wait(timeout.C, late)
		switch {
		case l.last == nil && l.pending:
			all = append(all, disk{Folder: folder})
		case l.last != nil && !slices.ContainsFunc(seen, l.last.on.same):
			seen, all = append(seen, l.last.on), append(all, l.last.disk)
		}
	}
	return all
}

// wait waits for the answer of a look, unless it is late already. It reports
// whether it is late.
func (l *look) wait(timeout <-chan time.Time, late bool) bool {
	if late {
		select {
		case l.last = <-l.answer:
			l.pending = false
		default:
		}
		return true
	}
	select {
	case l.last = <-l.answer:
		l.pending = false
		return false
	case <-timeout:
		return true
	}
}

// lookAt returns nil if nothing is known.
func lookAt(folder string) *looked {
	var s syscall.Statfs_t
	if syscall.Statfs(folder, &s) != nil || s.Blocks == 0 {
		return nil
	}
	size := uint64(s.Bsize)
	return &looked{disk{folder, s.Bavail * size, s.Blocks * size}, fileSystem{s.Fsid, s.Blocks}}
}
