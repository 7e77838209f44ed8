package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const ownerOnly = 0o600 // the file has addresses of people

// open opens the file, and locks it between processes. Closing it unlocks it.
func (l *Log) open(flags, lock int) (f *os.File, err error) {
	for {
		f, err := os.OpenFile(l.path, flags|syscall.O_NOFOLLOW, ownerOnly)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), lock); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		here, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		there, err := os.Lstat(l.path)
		if err == nil && os.SameFile(here, there) {
			return f, nil
		}
		_ = f.Close() // while this waited, another process has replaced it
	}
}

// write appends entries, and returns when they are on the disk.
func (l *Log) write(list []Entry) (err error) {
	f, err := l.open(os.O_RDWR|os.O_CREATE, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	at, end, found, err := findEnd(f)
	if err != nil {
		return err
	}
	if a := l.anchor(); a.n > at.n || a.n == at.n && a != at {
		found = append(found, fmt.Sprintf("the file ends with entry %d, and entry %d with the checksum %s is missing", at.n, a.n, a.sum))
	}
	if found != nil {
		list = slices.Insert(list, 0, Entry{Via: Server, Action: Repaired, Outcome: Done, Detail: strings.Join(found, "; ")})
	}
	var text []byte
	for i := range list {
		next := line{Entry: list[i].clean(time.Now())}
		at.n++
		next.N = at.n
		text, at.sum = appendLine(text, at.sum, &next)
	}
	if _, err = f.WriteAt(text, end); err == nil {
		err = errors.Join(f.Truncate(end+int64(len(text))), f.Sync())
	}
	if err != nil { // a whole line would tell of what was not done
		return errors.Join(err, f.Truncate(end))
	}
	if end == 0 {
		if err := l.settle(f); err != nil {
			return err
		}
	}
	if err := l.saveAnchor(at); err != nil { // it may be behind, as after a crash
		l.logger.Warn("the last checksum of the audit log cannot be kept", "err", err)
	}
	return nil
}

// settle makes the name of a new file durable.
func (l *Log) settle(f *os.File) error {
	dir, err := os.Open(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	return errors.Join(l.own(f), dir.Sync(), dir.Close())
}

// own makes the owner of the directory own a file in it. Only root can and has
// to: a server that runs as another user writes the file too.
func (l *Log) own(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// findEnd returns the place of the last entry, and the offset after its line.
// A rest after the last line break is no whole line, and is to be written over.
// found says what is wrong.
func findEnd(f *os.File) (at place, end int64, found []string, err error) {
	info, err := f.Stat()
	if err != nil {
		return at, 0, nil, err
	}
	size, skipped := info.Size(), 0
	err = backward(f, size, func(text []byte, from int64) bool {
		if end == 0 {
			end = from + int64(len(text)) + 1
		}
		entry, sum, ok := parse(text)
		if ok {
			at = entry.place(sum)
			return false
		}
		skipped++
		return true
	})
	if end < size {
		found = append(found, fmt.Sprintf("%d bytes after the last whole line were removed", size-end))
	}
	if skipped > 0 {
		found = append(found, fmt.Sprintf("the %d lines before this one are no entries", skipped))
	}
	return at, end, found, err
}

// backward calls yield for each whole line of the first size bytes, the last
// one first, with the offset of its first byte, until yield returns false. A
// rest after the last line break is no line. Something longer than maxLine is
// no entry, and comes in parts.
func backward(f io.ReaderAt, size int64, yield func(text []byte, from int64) bool) error {
	const block = 64 << 10
	var held []byte // the bytes from at on that were not handed out
	ended := false  // a line break follows them
	for at := size; ; {
		i := bytes.LastIndexByte(held, '\n')
		switch {
		case i >= 0:
			if ended && !yield(held[i+1:], at+int64(i)+1) {
				return nil
			}
			held, ended = held[:i], true
		case at == 0:
			if ended {
				yield(held, 0)
			}
			return nil
		case len(held) > maxLine:
			if ended && !yield(held, at) {
				return nil
			}
			held = nil
		default:
			n := min(at, block)
			text := make([]byte, n, int(n)+len(held))
			if _, err := f.ReadAt(text, at-n); err != nil {
				return err
			}
			at, held = at-n, append(text, held...)
		}
	}
}

// last returns the place of the last entry.
func (l *Log) last() (at place, err error) {
	f, err := os.Open(l.path)
	if err != nil {
		return at, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return at, err
	}
	err = backward(f, info.Size(), func(text []byte, _ int64) bool {
		entry, sum, ok := parse(text)
		if ok {
			at = entry.place(sum)
		}
		return !ok
	})
	return at, err
}

// The anchor is a small file with the place of the last entry, so that
// [Log.Verify] finds that lines are missing at the end. It is written after the
// entry, and not synced: after a crash it may be behind.
const (
	anchorSuffix = ".last"
	anchorForm   = "%020d %s\n"
)

// AnchorFile is the name of that file in the data directory.
const AnchorFile = File + anchorSuffix

// anchor returns the place that the anchor has, or the zero place.
func (l *Log) anchor() (at place) {
	text, err := os.ReadFile(l.path + anchorSuffix)
	if _, scanned := fmt.Sscanf(string(text), anchorForm, &at.n, &at.sum); err != nil || scanned != nil || len(at.sum) != 2*sha256.Size {
		return place{}
	}
	return at
}

func (l *Log) saveAnchor(at place) error {
	f, err := os.OpenFile(l.path+anchorSuffix, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, ownerOnly)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.NewOffsetWriter(f, 0), anchorForm, at.n, at.sum)
	if err == nil {
		err = l.own(f)
	}
	return errors.Join(err, f.Close())
}
