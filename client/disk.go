package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// disk is a queue in a directory:
//
//	lock             held by the one client that uses the directory
//	0000000000000001 a segment: records, appended; see record.go
//	done             how far the commands are settled; see cursorFile
//
// Each opening starts a new segment, so that nothing is ever written after what
// a crash left at the end of the last one. A segment is deleted when all
// commands in it are settled. If the latest state of done is lost, commands are
// sent again, and the server recognizes them. INVARIANT: segments are in order;
// the last one is written to; the first holds the first command that is not
// settled.
type disk struct {
	dir      string
	never    bool // never force anything to the disk
	lock     io.Closer
	done     *cursorFile
	segments []segment
	w        *os.File // the last segment
	r        *os.File // segments[at]
	at       int
	off      int64 // in r, of the first waiting command
	n        int
	size     int64
	taken    int64
	lost     uint64

	syncing sync.Mutex // one sync at a time; taken without the lock that guards everything else
	files   sync.Mutex // guards what follows
	dirty   *os.File   // w, if it holds unsynced writes
	spoilt  bool       // a sync of dirty has failed
	end     int64      // how much was written to dirty
	writes  uint64     // writes so far
	synced  uint64     // of these, the synced ones

	force func(*os.File) error // (*os.File).Sync; tests make it fail
}

type segment struct {
	id      uint64
	records int // not taken yet
	size    int64
}

const (
	segmentBytes = 1 << 20
	ownerDir     = 0o700
	ownerFile    = 0o600 // commands hold personal data
)

// openDisk opens the queue in a directory, and creates the directory if it is
// missing.
func openDisk(dir string, never bool) (*disk, error) {
	if err := os.MkdirAll(dir, ownerDir); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir, never: never, lock: lock, force: (*os.File).Sync}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *disk) load() (err error) {
	if d.done, err = openCursor(filepath.Join(d.dir, "done")); err != nil {
		return err
	}
	ids, err := d.list()
	if err != nil {
		return err
	}
	from := d.done.last
	var next uint64 = 1
	for _, id := range ids {
		next = id + 1
		if id < from.segment {
			if err := os.Remove(d.path(id)); err != nil {
				return err
			}
			continue
		}
		start := int64(0)
		if id == from.segment {
			start = from.offset
		}
		if err := d.count(id, start); err != nil {
			return err
		}
	}
	if len(d.segments) > 0 && d.segments[0].id == from.segment {
		d.off = from.offset
	}
	if err := d.begin(max(next, from.segment+1)); err != nil {
		return err
	}
	d.r, err = os.Open(d.path(d.segments[0].id))
	return err
}

// list returns the numbers of the segments in the directory, in order.
func (d *disk) list() ([]uint64, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, e := range entries {
		if id, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && len(e.Name()) == 16 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func (d *disk) path(id uint64) string { return filepath.Join(d.dir, fmt.Sprintf("%016d", id)) }

// count counts the commands of a segment from an offset on.
func (d *disk) count(id uint64, off int64) error {
	f, err := os.Open(d.path(id))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	s := segment{id: id}
	for {
		command, err := readRecord(f, off)
		switch {
		case errors.Is(err, errDamaged):
			n, err := countFrom(f, off) // none of these are sent: their order is uncertain
			if err != nil {
				return err
			}
			d.lost += n
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		if err != nil {
			break
		}
		off += recordSize(command)
		s.records++
		s.size += int64(len(command))
	}
	d.segments = append(d.segments, s)
	d.n += s.records
	d.size += s.size
	return nil
}

// begin starts a new segment. If it fails, nothing has changed, and the caller
// may try again.
func (d *disk) begin(id uint64) error {
	if err := d.sync(); err != nil {
		return err
	}
	f, err := os.OpenFile(d.path(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, ownerFile)
	if err != nil {
		return err
	}
	if !d.never {
		if err := syncDir(d.dir, d.force); err != nil {
			return errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	if d.w != nil {
		_ = d.w.Close() // its content is on the disk, or does not have to be
	}
	d.w = f
	d.segments = append(d.segments, segment{id: id})
	return nil
}

func (d *disk) push(command []byte) error {
	if last := d.segments[len(d.segments)-1]; last.size >= segmentBytes {
		if err := d.begin(last.id + 1); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	err := d.write(command)
	if err != nil && d.makeRoom() {
		err = d.write(command)
	}
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// write appends a command to the last segment. If that fails, on a full disk
// for example, it removes what was written of it.
func (d *disk) write(command []byte) error {
	end, err := d.w.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = d.w.Write(appendRecord(nil, command)) // one call: after SIGKILL, all or nothing of it is there
	}
	if err != nil {
		_, seekErr := d.w.Seek(end, io.SeekStart)
		return errors.Join(err, d.w.Truncate(end), seekErr)
	}
	last := &d.segments[len(d.segments)-1]
	last.records++
	last.size += int64(len(command))
	d.n++
	d.size += int64(len(command))
	d.files.Lock()
	d.dirty, d.end = d.w, end+recordSize(command)
	d.writes++
	d.files.Unlock()
	return nil
}

// makeRoom starts a new segment if the last one cannot be written to. The last
// one can then be deleted as soon as all in it is settled; otherwise it might
// itself fill the disk forever. makeRoom reports whether it is deleted already.
func (d *disk) makeRoom() bool {
	last := d.segments[len(d.segments)-1]
	if last.size == 0 || d.begin(last.id+1) != nil {
		return false
	}
	if d.n > 0 || d.taken > 0 {
		return false
	}
	_ = d.settle() // the next settle reports again that the cursor cannot be written
	return len(d.segments) == 1
}

// next returns the first waiting command, or nil if no command waits.
func (d *disk) next() ([]byte, error) {
	for d.n > 0 {
		if d.segments[d.at].records > 0 {
			command, err := readRecord(d.r, d.off)
			if err == nil {
				return command, nil
			}
			if !errors.Is(err, errDamaged) && !errors.Is(err, io.EOF) {
				return nil, err
			}
			if err := d.abandon(); err != nil {
				return nil, err
			}
			continue
		}
		if err := d.advance(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// abandon gives up the rest of a segment that was intact when it was counted.
// Nothing more is written to it.
func (d *disk) abandon() error {
	if d.at == len(d.segments)-1 {
		if err := d.begin(d.segments[d.at].id + 1); err != nil {
			return err
		}
	}
	s := &d.segments[d.at]
	d.lost += uint64(s.records)
	d.n -= s.records
	s.records = 0
	return nil
}

// advance moves on to the next segment.
func (d *disk) advance() error {
	f, err := os.Open(d.path(d.segments[d.at+1].id))
	if err != nil {
		return err
	}
	err = d.r.Close()
	d.r, d.off = f, 0
	d.at++
	return err
}

// pass moves past the first waiting command.
func (d *disk) pass(command []byte) {
	d.off += recordSize(command)
	d.segments[d.at].records--
	d.n--
}

func (d *disk) take(r room) (batch [][]byte, err error) {
	for {
		command, err := d.next()
		if err != nil || command == nil || !r.take(len(command), len(batch) == 0) {
			if len(batch) > 0 {
				err = nil // the error will come back
			}
			return batch, err
		}
		d.pass(command)
		d.taken += int64(len(command))
		batch = append(batch, command)
	}
}

func (d *disk) settle() error {
	d.size -= d.taken
	d.taken = 0
	if d.n == 0 {
		d.size = 0 // the unreadable commands are gone as well
	}
	for d.at < len(d.segments)-1 && d.segments[d.at].records == 0 {
		if err := d.advance(); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	// Settled segments are deleted even if the cursor cannot be written, on a
	// full disk for example: that is what makes room.
	err := d.done.write(position{d.segments[d.at].id, d.off})
	for d.at > 0 {
		if gone := os.Remove(d.path(d.segments[0].id)); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
			break
		}
		d.segments = d.segments[1:]
		d.at--
	}
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

func (d *disk) drop() (bool, error) {
	command, err := d.next()
	if err != nil || command == nil {
		return false, err
	}
	d.pass(command)
	d.size -= int64(len(command))
	if d.taken == 0 {
		return true, d.settle()
	}
	return true, nil
}

func (d *disk) state() state { return state{d.n, d.size, d.lost} }

// sync returns when everything pushed before the call is on the disk.
// Concurrent callers share one sync. If it fails, each of them tries again, and
// none of them returns success before a sync has succeeded. It is safe for
// concurrent use with all other methods.
func (d *disk) sync() error {
	if d.never {
		return nil
	}
	d.files.Lock()
	want := d.writes
	d.files.Unlock()
	d.syncing.Lock()
	defer d.syncing.Unlock()
	d.files.Lock()
	f, writes, end, again := d.dirty, d.writes, d.end, d.spoilt
	d.files.Unlock()
	if f == nil || d.synced >= want { // only written below
		return nil
	}
	var err error
	if again {
		err = rewrite(f.Name(), end)
	}
	if err == nil {
		err = d.force(f)
	}
	d.files.Lock()
	defer d.files.Unlock()
	if d.spoilt = err != nil; d.spoilt {
		return fmt.Errorf("queue: %w", err)
	}
	d.synced = writes
	if d.writes == writes {
		d.dirty = nil
	}
	return nil
}

// rewrite writes the first bytes of a file again, unchanged. After a failed
// sync, systems consider the written data clean, and the next sync would
// succeed without writing it.
func rewrite(path string, n int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if _, err = f.ReadAt(b, 0); err == nil {
		_, err = f.WriteAt(b, 0)
	}
	return errors.Join(err, f.Close())
}

func (d *disk) close() error {
	err := d.sync()
	for _, f := range []*os.File{d.w, d.r} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if d.done != nil {
		err = errors.Join(err, d.done.close())
	}
	return errors.Join(err, d.lock.Close())
}

// syncDir makes the names of new files durable. Systems that cannot sync a
// directory do not need it.
func syncDir(dir string, force func(*os.File) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := force(f); err != nil && !strings.Contains(err.Error(), "nvalid") && !errors.Is(err, fs.ErrPermission) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
