package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"trackway/internal/durable"
)

// Trim removes the entries that are older than they are kept. It removes at
// least a day of entries at once, because it replaces the file. It removes
// from the beginning only, up to the first entry that is young enough. The
// first line then says what was removed, and whether that was whole.
func (l *Log) Trim(now time.Time) (err error) {
	if l == nil || l.keep.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open(os.O_RDWR, syscall.LOCK_EX)
	if missing(err) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // only then others go on, with the new file
	oldest := now.Add(-time.Duration(l.keep.Load()))
	at, offset, removed, wrong, err := old(bufio.NewReaderSize(f, maxLine), oldest)
	if err != nil || removed == 0 {
		return err
	}
	head := line{Entry: (&Entry{
		N: at.n, At: now, Via: Server, Action: Trimmed, Outcome: Done, Count: removed,
		Detail: "entries from before " + oldest.UTC().Format(time.RFC3339),
	}).clean(now), Prev: at.sum}
	if wrong > 0 {
		head.Detail += fmt.Sprintf("; %d of them did not follow the one before", wrong)
	}
	first, _ := appendLine(nil, "", &head)
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	return durable.ReplaceWith(l.path, ownerOnly, func(w io.Writer) error {
		_, err := w.Write(first)
		if err == nil {
			_, err = io.Copy(w, f)
		}
		return err
	})
}

// batch is the least time between two removals.
const batch = 24 * time.Hour

// old returns the place and the end of the last entry that is to be removed,
// the number of those entries, and how many of them did not follow the one
// before. It is nothing until the first entry is older than oldest by a batch.
func old(lines *bufio.Reader, oldest time.Time) (at place, offset int64, removed, wrong uint64, err error) {
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return at, offset, removed, wrong, nil // a last line that is not whole stays
		} else if err != nil && !errors.Is(err, bufio.ErrBufferFull) { // a part of a line that is too long is no entry
			return at, offset, removed, wrong, err
		}
		next, entry, why := at.follow(trimBreak(text))
		head := entry.Prev != ""
		limit := oldest
		if removed == 0 {
			limit = oldest.Add(-batch)
		}
		if !head && entry.N > 0 && !entry.At.Before(limit) {
			return at, offset, removed, wrong, nil
		}
		offset += int64(len(text))
		at = next
		if !head {
			removed++
		}
		if why != "" {
			wrong++
		}
	}
}
