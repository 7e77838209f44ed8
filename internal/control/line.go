package control

import (
	"bytes"
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
		if i := bytes.IndexByte(l.rest[l.seen:], '\n'); i >= 0 {
			end := l.seen + i
			line := l.rest[:end:end]
			l.rest, l.seen = l.rest[end+1:], 0
			return line, nil
		}
		l.seen = len(l.rest)
		switch {
		case l.err == nil && l.seen > MaxLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", MaxLine)
		case l.err == io.EOF && l.seen > 0: //nolint:errorlint // as io.Reader has it
			line := l.rest
			l.rest, l.seen = nil, 0
			return line, nil
		case l.err != nil:
			return nil, l.err
		}
		l.read()
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
