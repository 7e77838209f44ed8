package feed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// Stdin is the name that stands for standard input.
const Stdin = "-"

// readBuffer is how much of a file is read at once.
const readBuffer = 256 << 10

// input is a file, or standard input, after decompression.
type input struct {
	*bufio.Reader

	file *os.File
	zip  io.Closer // nil if the file is not compressed
	read *atomic.Int64
	base int64 // place in the decompressed text at which the reader began
}

// open opens a file at a place in its decompressed text. It skips a byte order
// mark at the beginning.
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

// The first bytes of files that have another form than expected.
var heads = []struct{ magic, msg string }{
	{"\xff\xfe", errUTF16},
	{"\xfe\xff", errUTF16},
	{"PK\x03\x04", "is a spreadsheet or an archive: save it as CSV, in UTF-8"},
	{"PAR1", "is a Parquet file: only NDJSON and CSV can be imported"},
}

const errUTF16 = "is in UTF-16, which spreadsheets call Unicode text: save it as CSV, in UTF-8"

// begin looks at the first bytes to find out how a file is compressed. A file
// whose name says that it is compressed, but whose content is not, is damaged.
func (in *input) begin(path string, from io.Reader, offset int64) error {
	in.read.Store(0)
	counted := &counter{from, in.read}
	in.Reader = bufio.NewReaderSize(counted, readBuffer)
	switch head, _ := in.Peek(4); {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")): // RFC 1952 section 2.3.1
		z, err := gzip.NewReader(in.Reader)
		if err != nil {
			return fmt.Errorf("inflate: %w", err)
		}
		in.zip, in.Reader = z, bufio.NewReaderSize(inflating{z}, readBuffer)
	case bytes.Equal(head, []byte("\x28\xb5\x2f\xfd")): // RFC 8878 section 3.1.1
		z, err := zstd.NewReader(in.Reader, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return fmt.Errorf("inflate: %w", err)
		}
		closer := z.IOReadCloser()
		in.zip, in.Reader = closer, bufio.NewReaderSize(inflating{closer}, readBuffer)
	case slices.Contains([]string{".gz", ".zst"}, filepath.Ext(path)):
		return errors.New("the file is not compressed although its name says so, or its beginning is damaged")
	}
	if offset == 0 {
		return in.check()
	}
	return in.skip(counted, offset)
}

// inflating adds to an error that the compressed text is damaged.
type inflating struct{ from io.Reader }

// Read implements [io.Reader].
func (i inflating) Read(b []byte) (int, error) {
	n, err := i.from.Read(b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the compressed file is cut off")
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("inflate: %w", err)
	}
	return n, err
}

// check skips a byte order mark, and refuses content that is not UTF-8 text.
func (in *input) check() error {
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, h := range heads {
		if bytes.HasPrefix(head, []byte(h.magic)) {
			return errors.New("the file " + h.msg)
		}
	}
	if bytes.IndexByte(head, 0) >= 0 { // no UTF-8 text begins like this, but UTF-16 text without a mark does
		return errors.New("the file " + errUTF16)
	}
	const mark = "\uFEFF"
	if bytes.HasPrefix(head, []byte(mark)) {
		in.base = int64(len(mark))
		_, err := in.Discard(len(mark))
		return err
	}
	return nil
}

// skip moves to a place: at once in a plain file, and by reading everything
// before it in a compressed one.
func (in *input) skip(counted io.Reader, offset int64) error {
	if in.zip == nil && in.file != nil {
		if _, err := in.file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		in.read.Store(offset)
		in.Reset(counted)
		in.base = offset
		return nil
	}
	n, err := io.CopyN(io.Discard, in.Reader, offset)
	in.base = n
	return err
}

// Close closes the file. It ignores errors of the decompressor, because damage
// in a compressed text was reported when the text was read.
func (in *input) Close() error {
	if in.zip != nil {
		_ = in.zip.Close()
	}
	if in.file != nil {
		return in.file.Close()
	}
	return nil
}

// idle reports whether everything that was read is used up, so that the next
// read may wait.
func (in *input) idle() bool { return in.Buffered() == 0 }

// counter counts the bytes that are read from a file, as stored on the disk.
type counter struct {
	from io.Reader
	n    *atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// formatOf returns the format of a file by its name. Whatever is not CSV is
// NDJSON.
func formatOf(path string) (format, delimiter string) {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch filepath.Ext(name) {
	case ".csv":
		return CSV, ","
	case ".tsv":
		return CSV, "\t"
	}
	return NDJSON, ","
}
