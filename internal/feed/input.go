package feed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// Stdin is the name that stands for the standard input.
const Stdin = "-"

// readBuffer is how much of a file is read at once.
const readBuffer = 256 << 10

// input is a file, or the standard input, without its compression.
type input struct {
	*bufio.Reader

	file *os.File
	zip  io.Closer // nil where it is not compressed
	read *atomic.Int64
	text fence // the inflated text
	base int64 // place in it that the reader began at
}

// fence hands a text out up to a place, and a buffer's length behind it at most.
type fence struct {
	from  io.Reader
	given int64
	upto  int64 // 0: to the end
}

// errBeyond is what is behind the place.
var errBeyond = errors.New("the text goes on for too long")

// Read implements [io.Reader]. Errors: errBeyond.
func (f *fence) Read(b []byte) (int, error) {
	if f.upto > 0 && f.given >= f.upto {
		return 0, errBeyond
	}
	n, err := f.from.Read(b)
	f.given += int64(n)
	return n, err
}

// open opens a file at a place in its inflated text. A byte order mark at the beginning is passed over.
func open(path string, stdin io.Reader, offset int64, read *atomic.Int64) (*input, error) {
	in := &input{read: read}
	from := stdin
	if path != Stdin {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		in.file, from = f, f
	}
	if err := in.begin(path, from, offset); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func (in *input) begin(path string, from io.Reader, offset int64) error {
	in.read.Store(0)
	counted := &counter{from, in.read}
	var plain io.Reader = counted
	switch filepath.Ext(path) {
	case ".gz":
		z, err := gzip.NewReader(bufio.NewReaderSize(counted, readBuffer))
		if err != nil {
			return err
		}
		in.zip, plain = z, z
	case ".zst":
		z, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		closer := z.IOReadCloser()
		in.zip, plain = closer, closer
	}
	in.text.from = plain
	in.Reader = bufio.NewReaderSize(&in.text, readBuffer)
	return in.skip(offset)
}

// skip goes to a place: at once in a plain file, through all before it in a compressed one.
func (in *input) skip(offset int64) error {
	if offset > 0 && in.zip == nil && in.file != nil {
		if _, err := in.file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		in.read.Store(offset)
		in.base, in.text.given = offset, offset
		return nil
	}
	if offset == 0 {
		mark := []byte("\uFEFF")
		if head, _ := in.Peek(len(mark)); bytes.Equal(head, mark) {
			offset = int64(len(mark))
		}
	}
	n, err := io.CopyN(io.Discard, in.Reader, offset)
	in.base = n
	return err
}

// Close closes the file. That of an input that was read has nothing to say.
func (in *input) Close() error {
	var err error
	if in.zip != nil {
		err = in.zip.Close()
	}
	if in.file != nil {
		err = errors.Join(err, in.file.Close())
	}
	return err
}

// idle reports whether nothing that was read is left, so that the next read may wait.
func (in *input) idle() bool { return in.Buffered() == 0 }

// counter counts what is read of a file, as it lies on the disk.
type counter struct {
	from io.Reader
	n    *atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// formatOf tells the format of a file by its name: whatever is not CSV is NDJSON.
func formatOf(path string) (format string, delimiter rune) {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch filepath.Ext(name) {
	case ".csv":
		return CSV, ','
	case ".tsv":
		return CSV, '\t'
	}
	return NDJSON, ','
}
