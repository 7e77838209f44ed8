package audit

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Report is what [Log.Verify] has found.
type Report struct {
	Entries  uint64 `json:"entries"`           // whole ones, before a wrong line
	First    uint64 `json:"first"`             // the number of the first one
	Last     uint64 `json:"last"`              // the number of the last one
	Sum      string `json:"sum"`               // its checksum
	Removed  bool   `json:"removed"`           // older entries were removed, because of their age
	Anchored bool   `json:"anchored"`          // the file with the last checksum exists, and was compared
	Line     int    `json:"line,omitempty"`    // the first that is wrong, counted from 1; 0: none
	Why      string `json:"why,omitempty"`     // it is wrong
	Missing  string `json:"missing,omitempty"` // what is missing at the end
}

// Good reports whether nothing is wrong.
func (r *Report) Good() bool { return r.Why == "" && r.Missing == "" }

// ErrPlace is the error of [Log.Verify] if what was noted is not in the form
// N:SUM.
var ErrPlace = errors.New("must be the number of an entry and its checksum, such as 12:7f…: trackway audit verify prints them")

// Verify reads the whole file and checks each line. noted are places, N:SUM,
// that were noted before and must be in the file, unless they are older than
// its first line.
func (l *Log) Verify(noted ...string) (*Report, error) {
	want := make(map[uint64]string)
	for _, text := range noted {
		n, sum, _ := strings.Cut(text, ":")
		number, err := strconv.ParseUint(n, 10, 64)
		if err != nil || number == 0 || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("%q %w", text, ErrPlace)
		}
		want[number] = sum
	}
	r := new(Report)
	f, err := l.open(os.O_RDONLY, syscall.LOCK_SH)
	if missing(err) {
		return r, r.check(strings.NewReader(""), want, l.anchor())
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	anchor := l.anchor()
	info, err := f.Stat()
	if err = errors.Join(err, syscall.Flock(int(f.Fd()), syscall.LOCK_UN)); err != nil {
		return nil, err
	}
	return r, r.check(io.LimitReader(f, info.Size()), want, anchor) // what is appended now is not read
}

// check reads lines. An anchor may be behind.
func (r *Report) check(f io.Reader, want map[uint64]string, anchor place) error {
	var at place
	r.Anchored = anchor.n > 0
	lines := bufio.NewReaderSize(f, maxLine)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			break
		}
		next, entry, why := at.follow(trimBreak(text))
		switch {
		case errors.Is(err, io.EOF):
			why = "it has no end: the next entry repairs that"
		case errors.Is(err, bufio.ErrBufferFull):
			why = "it is no entry"
		case err != nil:
			return err
		case why == "" && want[next.n] != "" && want[next.n] != next.sum:
			why = "it has another checksum than was noted"
		case why == "" && anchor.n == next.n && anchor.sum != next.sum:
			why = "it has another checksum than " + AnchorFile
		}
		if why != "" {
			r.Line, r.Why = number, why
			return nil
		}
		r.take(next, &entry)
		at = next
	}
	if anchor.n > at.n {
		r.Missing = fmt.Sprintf("%s says that the last entry is %d", AnchorFile, anchor.n)
	}
	for n := range want {
		if n > at.n {
			r.Missing = fmt.Sprintf("entry %d was noted", n)
		}
	}
	return nil
}

func (r *Report) take(at place, entry *line) {
	if entry.Prev != "" {
		r.Removed = true
	} else {
		r.Entries++
		if r.First == 0 {
			r.First = at.n
		}
	}
	r.Last, r.Sum = at.n, at.sum
}

func trimBreak(text []byte) []byte {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		return text[:n-1]
	}
	return text
}

// missing reports whether a file does not exist.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
