// Package parcel sends the files of a directory as one stream, and receives
// them. The receiver learns whether it has all of it, unchanged.
//
// A stream begins with four bytes and, as big-endian numbers, how many files
// there are, and of each the length of its name in two bytes, the name, and its
// size in eight. Then come the contents of the files, and the SHA-256 of all
// bytes before it.
package parcel

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const magic = "twP1"

// Bounds of what a receiver accepts.
const (
	maxFiles = 1 << 20
	maxName  = 255
)

// pieceBytes is how much is written to a file at once.
const pieceBytes = 128 << 10

// ErrDamaged is the error for a stream that is not what was sent.
var ErrDamaged = errors.New("it is not what was sent")

// file is a file in a stream.
type file struct {
	name string
	size int64
}

func appendHead(b []byte, files []file) []byte {
	b = binary.BigEndian.AppendUint32(append(b, magic...), uint32(len(files)))
	for _, f := range files {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(f.name))), f.name...)
		b = binary.BigEndian.AppendUint64(b, uint64(f.size))
	}
	return b
}

// Reader reads the stream of a directory whose files do not change. It is not
// safe for concurrent use.
type Reader struct {
	fs    vfs.FS
	dir   string
	size  int64
	head  []byte // what has not been read of it
	files []file // that have not been read whole; the first may be open
	open  vfs.File
	left  int64 // of the open file
	sum   hash.Hash
	tail  []byte // nil until all files are read
}

// Open returns the stream of the files in dir, which must have no directories
// in it. fs may be nil, for the operating system's files.
func Open(fs vfs.FS, dir string) (*Reader, error) {
	fs = orDefault(fs)
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	r := &Reader{fs: fs, dir: dir, sum: sha256.New()}
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		r.files = append(r.files, file{name, info.Size()})
		r.size += info.Size()
	}
	r.head = appendHead(nil, r.files)
	r.size += int64(len(r.head)) + sha256.Size
	return r, nil
}

// Size returns how many bytes the whole stream has.
func (r *Reader) Size() int64 { return r.size }

// Read implements [io.Reader].
func (r *Reader) Read(b []byte) (n int, err error) {
	for n == 0 && err == nil && len(b) > 0 {
		switch {
		case len(r.head) > 0:
			n = copy(b, r.head)
			r.head = r.head[n:]
		case len(r.files) > 0:
			n, err = r.file(b)
		case r.tail == nil:
			r.tail = r.sum.Sum(nil)
			continue
		case len(r.tail) > 0:
			n = copy(b, r.tail)
			r.tail = r.tail[n:]
			return n, nil
		default:
			return 0, io.EOF
		}
		_, _ = r.sum.Write(b[:n]) // never fails
	}
	return n, err
}

// file reads from the first file that is left. At its end, it goes on to the
// next one and returns 0.
func (r *Reader) file(b []byte) (n int, err error) {
	if r.open == nil {
		if r.open, err = r.fs.Open(r.fs.PathJoin(r.dir, r.files[0].name), vfs.SequentialReadsOption); err != nil {
			return 0, err
		}
		r.left = r.files[0].size
	}
	if r.left > 0 {
		n, err = r.open.Read(b[:min(int64(len(b)), r.left)])
		r.left -= int64(n)
		if errors.Is(err, io.EOF) {
			err = nil
			if n == 0 {
				err = fmt.Errorf("%s has become shorter: %w", r.files[0].name, io.ErrUnexpectedEOF)
			}
		}
		return n, err
	}
	f := r.open
	r.open, r.files = nil, r.files[1:]
	return 0, f.Close()
}

// Close closes the file that is being read.
func (r *Reader) Close() error {
	if r.open == nil {
		return nil
	}
	f := r.open
	r.open, r.files = nil, nil
	return f.Close()
}

// Writer receives a stream into a directory. Each of its methods is called by
// one goroutine.
type Writer struct {
	to   *bufio.Writer // the pipe
	pipe *io.PipeWriter
	done chan error // receives the outcome
}

// orDefault returns the operating system's files for nil.
func orDefault(fs vfs.FS) vfs.FS {
	if fs == nil {
		return vfs.Default
	}
	return fs
}

// Receive creates dir, and returns what receives a stream into it. It calls
// check with the name of each file that is whole, while the next ones arrive,
// and from several goroutines. Nothing was received if that returns an error.
// fs may be nil, for the operating system's files.
func Receive(fs vfs.FS, dir string, check func(name string) error) (*Writer, error) {
	fs = orDefault(fs)
	if err := errors.Join(fs.RemoveAll(dir), fs.MkdirAll(dir, 0o700)); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	one := &Writer{to: bufio.NewWriterSize(w, pieceBytes), pipe: w, done: make(chan error, 1)}
	go func() {
		err := receive(fs, dir, r, check)
		_ = r.CloseWithError(err)
		one.done <- err
	}()
	return one, nil
}

// Write implements [io.Writer].
func (w *Writer) Write(b []byte) (int, error) { return w.to.Write(b) }

// Close waits until everything is on the disk. An error means that it was not
// received as it was sent.
func (w *Writer) Close() error {
	_ = w.to.Flush() // an error comes from the other end
	_ = w.pipe.Close()
	return <-w.done
}

func receive(fs vfs.FS, dir string, r io.Reader, check func(name string) error) error {
	sum := sha256.New()
	from := io.TeeReader(r, sum)
	files, err := readHead(fs, from)
	if err != nil {
		return err
	}
	finishing := finishing{room: make(chan struct{}, atOnce)}
	buffer := make([]byte, pieceBytes)
	for _, f := range files {
		name := fs.PathJoin(dir, f.name)
		var open vfs.File
		if open, err = receiveFile(fs, name, io.LimitReader(from, f.size), f.size, buffer); err != nil {
			break
		}
		err = finishing.do(func() error {
			if err := errors.Join(open.Sync(), open.Close()); err != nil {
				return err
			}
			return check(name)
		})
		if err != nil {
			break
		}
	}
	finishing.running.Wait()
	if err := cmp.Or(err, finishing.err()); err != nil {
		return err
	}
	want, got := sum.Sum(nil), make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, got); err != nil {
		return short(err)
	}
	if !bytes.Equal(want, got) {
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more", ErrDamaged)
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// short turns the end of a stream that is too short into an error.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", ErrDamaged)
	}
	return err
}

func readHead(fs vfs.FS, r io.Reader) ([]file, error) {
	head := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, short(err)
	}
	n := binary.BigEndian.Uint32(head[len(magic):])
	if string(head[:len(magic)]) != magic || n > maxFiles {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrDamaged)
	}
	var files []file
	for range n {
		var b [maxName + 8]byte
		if _, err := io.ReadFull(r, b[:2]); err != nil {
			return nil, short(err)
		}
		length := int(binary.BigEndian.Uint16(b[:]))
		if length > maxName {
			return nil, fmt.Errorf("%w: a name of %d bytes", ErrDamaged, length)
		}
		if _, err := io.ReadFull(r, b[:length+8]); err != nil {
			return nil, short(err)
		}
		f := file{string(b[:length]), int64(binary.BigEndian.Uint64(b[length:]))}
		if f.size < 0 || f.name == "" || f.name == "." || f.name == ".." || f.name != fs.PathBase(f.name) {
			return nil, fmt.Errorf("%w: it names a file %q of %d bytes", ErrDamaged, f.name, f.size)
		}
		files = append(files, f)
	}
	return files, nil
}

// receiveFile receives a file, which is not synced yet.
func receiveFile(fs vfs.FS, name string, r io.Reader, size int64, buffer []byte) (vfs.File, error) {
	f, err := fs.Create(name, "trackway-parcel")
	if err != nil {
		return nil, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, r, buffer) // the file's own ReadFrom uses small pieces
	if err == nil && n < size {
		err = io.EOF
	}
	if err != nil {
		return nil, errors.Join(short(err), f.Close())
	}
	return f, nil
}

// atOnce is how many files are finished at the same time.
const atOnce = 2

// finishing syncs and checks files while others arrive.
type finishing struct {
	room    chan struct{} // holds a value for each file that is being finished
	running sync.WaitGroup
	failed  atomic.Pointer[error] // the first error
}

// do has work done, once there is room for it. The error may be that of other
// work.
func (f *finishing) do(work func() error) error {
	f.room <- struct{}{}
	f.running.Go(func() {
		defer func() { <-f.room }()
		if err := work(); err != nil {
			f.failed.CompareAndSwap(nil, &err)
		}
	})
	return f.err()
}

// err returns the first error of the work, or nil.
func (f *finishing) err() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}
