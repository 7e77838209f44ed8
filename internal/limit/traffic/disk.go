package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A file begins with magic. Each frame follows its length and its checksum
// (CRC-32C), four bytes each, big-endian. A file's name is the time of its
// creation. No file is extended after a restart, so only its end can be torn.
const (
	magic      = "trackway calls 1\n"
	suffix     = ".calls"
	nameLayout = "20060102T150405.000000000Z"
	headBytes  = 8

	parts    = 16       // one file holds at most this fraction of the kept bytes and time
	maxBytes = 32 << 20 // of a file, so that it can be read at once
)

// fileBytes returns the maximum size of a file.
func (s *Settings) fileBytes() int64 { return min(s.MaxBytes/parts, maxBytes) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// disk holds the written part of a record and the part that is being written.
type disk struct {
	dir      string
	settings Settings

	file  *os.File // nil: no file is open
	began time.Time
	size  int64

	rows       []row // since the last frame
	unrecorded uint64
	covered    int64     // Unix seconds: frames cover the time up to here
	wrote      time.Time // the last frame
	pruned     time.Time
	total      int64 // bytes of all files at the last pruning
	written    meter
	failing    bool // the last write failed
	stuck      bool // the last removal of old files failed
}

// write appends a frame with the rows taken from the shards. Even if it fails,
// it drops the rows.
func (d *disk) write(now time.Time) error {
	f := frame{from: d.covered, to: max(now.Unix(), d.covered), unrecorded: d.unrecorded, limits: d.settings.Limits, rows: d.rows}
	d.wrote, d.covered, d.unrecorded = now, f.to, 0
	for i := range d.rows {
		d.rows[i].kind.Project = d.settings.Projects[d.rows[i].kind.Project]
	}
	b := f.append(make([]byte, headBytes))
	clear(d.rows) // frees the texts
	d.rows = d.rows[:0]
	body := b[headBytes:]
	binary.BigEndian.PutUint32(b, uint32(len(body)))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(body, castagnoli))
	if err := d.openFor(now, int64(len(b))); err != nil {
		return err
	}
	if _, err := d.file.Write(b); err != nil {
		if d.file.Truncate(d.size) != nil {
			d.closeSegment() // its end is torn
		}
		return err
	}
	d.size += int64(len(b))
	d.written.total += int64(len(b))
	return nil
}

// openFor ensures that a file with space for some bytes is open.
func (d *disk) openFor(now time.Time, bytes int64) error {
	if d.file != nil && d.goesOn(now, bytes) {
		return nil
	}
	d.closeSegment()
	const owner = 0o700
	if err := os.MkdirAll(d.dir, owner); err != nil {
		return err
	}
	if err := d.prune(now, max(d.settings.fileBytes(), bytes)); err != nil {
		return err
	}
	return d.begin(now)
}

// goesOn reports whether the open file can be continued: it is neither too
// large nor too old, and the operator has not removed it.
func (d *disk) goesOn(now time.Time, bytes int64) bool {
	age := now.Sub(d.began)
	if d.size+bytes > d.settings.fileBytes() || age < 0 || age > d.settings.Keep/parts {
		return false
	}
	_, err := os.Lstat(d.file.Name())
	return err == nil
}

func (d *disk) begin(now time.Time) error {
	const ownerOnly = 0o600
	path := filepath.Join(d.dir, now.UTC().Format(nameLayout)+suffix)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, ownerOnly)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(magic); err != nil {
		// Otherwise each attempt would leave a file on a full disk.
		return errors.Join(err, file.Close(), os.Remove(path))
	}
	d.file, d.began, d.size = file, now, int64(len(magic))
	return nil
}

// closeSegment ends the file that is being written. The data is already
// written, so it ignores errors.
func (d *disk) closeSegment() {
	if d.file != nil {
		_ = d.file.Close()
		d.file = nil
	}
}

// prune removes the files that are too old, and then the oldest ones until
// there is space for some bytes.
func (d *disk) prune(now time.Time, bytes int64) error {
	all, err := segments(d.dir)
	if err != nil {
		return fmt.Errorf("look for what is too old: %w", err)
	}
	d.total = 0
	for _, s := range all {
		d.total += s.size
	}
	for _, s := range all {
		if d.total+bytes <= d.settings.MaxBytes && now.Sub(s.began) <= d.settings.Keep {
			continue
		}
		if d.file != nil && s.path == d.file.Name() {
			continue // it is new
		}
		if err := os.Remove(s.path); err != nil {
			return err
		}
		d.total -= s.size
	}
	return nil
}

// segment is a file of the record.
type segment struct {
	path  string
	began time.Time
	wrote time.Time // the last frame
	size  int64
}

// segments returns the files of a record, the oldest first. It returns nothing
// if the directory does not exist.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), suffix)
		began, err := time.Parse(nameLayout, name)
		if !ours || err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was too old and has been removed
		} else if err != nil {
			return nil, err
		}
		all = append(all, segment{filepath.Join(dir, e.Name()), began, info.ModTime(), info.Size()})
	}
	slices.SortFunc(all, func(a, b segment) int { return a.began.Compare(b.began) })
	return all, nil
}
