package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// slabBytes is how much memory lines share. It is given up with the last of the commands that were decoded from it.
const slabBytes = 256 << 10

// lineReader reads lines without moving them: what was decoded from one is part of it, and lives on.
type lineReader struct {
	from io.Reader
	rest []byte // read, and not yet returned; the room behind it may be read into
	seen int    // bytes of rest that hold no line break
	err  error
}

// next returns the next line, without its break. It is never written to again. The last line needs no break. At the end it
// returns [io.EOF].
func (l *lineReader) next() ([]byte, error) {
	for {
		i := bytes.IndexByte(l.rest[l.seen:], '\n')
		switch {
		case i < 0 && l.err == nil && len(l.rest) <= MaxLine:
			l.seen = len(l.rest)
			l.read()
			continue
		case i >= 0:
			i += l.seen
		case errors.Is(l.err, io.EOF) && len(l.rest) > 0, l.err == nil:
			i = len(l.rest)
		default:
			return nil, l.err
		}
		if i > MaxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", MaxLine)
		}
		line := l.rest[:i:i]
		l.rest, l.seen = l.rest[min(i+1, len(l.rest)):], 0
		return line, nil
	}
}

// read reads into the room that is left, or into a new slab where there is none.
func (l *lineReader) read() {
	if len(l.rest) == cap(l.rest) {
		l.rest = append(make([]byte, 0, max(slabBytes, 2*len(l.rest))), l.rest...)
	}
	n, err := l.from.Read(l.rest[len(l.rest):cap(l.rest)])
	l.rest, l.err = l.rest[:len(l.rest)+n], err
}
