package feed

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"trackway/internal/control"
)

// lines reads a text line by line. LF, CR LF and a lone CR each end a line, and
// one file may mix them: files come from everywhere, and some have passed
// through several programs.
type lines struct {
	in     *bufio.Reader
	at     int64 // bytes read
	number int64 // lines read
}

// part returns the next part of a line, including the line break, and whether
// the line ends with it. The part is valid until the next call. A last line
// without a break does not end by itself: the error of the next call, [io.EOF],
// ends it.
func (l *lines) part() (part []byte, ends bool, err error) {
	if _, err := l.in.Peek(1); err != nil {
		return nil, false, err
	}
	b, _ := l.in.Peek(l.in.Buffered())
	n := len(b)
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		n, ends = lf+1, true
	}
	if cr := bytes.IndexByte(b[:n], '\r'); cr >= 0 && cr+1 != lf {
		switch {
		case cr+1 < len(b):
			n, ends = cr+1, true
		case cr > 0: // the next call looks at what follows the CR
			n, ends = cr, false
		default:
			b, _ = l.in.Peek(2) // which may move what was peeked before
			if ends = true; len(b) == 2 && b[1] == '\n' {
				n = 2
			}
		}
	}
	l.at += int64(n)
	if ends {
		l.number++
	}
	_, err = l.in.Discard(n)
	return b[:n], ends, err
}

// appendLine appends the next line, with its break. It does not keep all of a
// line that is too long, but keeps more than [control.MaxLine] bytes of it.
func (l *lines) appendLine(text []byte) ([]byte, error) {
	for began := len(text); ; {
		part, ends, err := l.part()
		if errors.Is(err, io.EOF) && len(text) > began {
			l.number++
			return text, nil
		} else if err != nil {
			return text, err
		}
		if len(text) <= control.MaxLine {
			text = append(text, part...)
		}
		if ends {
			return text, nil
		}
	}
}

// trimBreak returns a line without its break.
func trimBreak(line []byte) []byte {
	if rest, ok := bytes.CutSuffix(line, []byte("\n")); ok {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return bytes.TrimSuffix(line, []byte("\r"))
}
