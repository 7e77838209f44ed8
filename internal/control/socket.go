package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// SocketName is the socket's name in the data directory.
const SocketName = "control.sock"

// maxPath is the longest path of a socket that all systems support: sun_path
// has 104 bytes on BSD and macOS, and 108 on Linux (unix(7)).
const maxPath = 103

// errLongPath is the error of [Listen] and [Dial] if the path is too long and
// cannot be shortened.
var errLongPath = errors.New("the path of the data directory is too long for a socket")

// Listen listens on the socket in dir, which only its owner can use. It
// replaces a socket that a killed server left behind. The caller must hold the
// lock of the directory, so that no live server loses its socket. If the socket
// answers nevertheless, that is an error.
func Listen(ctx context.Context, dir string) (net.Listener, error) {
	ln, err := listen(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("control socket in %s: %w", dir, err)
	}
	return ln, nil
}

// listen creates the socket in a separate directory, so that nobody else can
// reach it before its mode is set, and then moves it to its place.
func listen(ctx context.Context, dir string) (_ net.Listener, err error) {
	if conn, err := dial(ctx, dir); err == nil {
		_ = conn.Close()
		return nil, errors.New("another server listens there")
	}
	making, err := os.MkdirTemp(dir, ".control-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(making)) }()
	var ln *net.UnixListener
	err = short(making, func(path string) (err error) {
		ln, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // its path was the first one
	const ownerOnly = 0o600
	made, placed := filepath.Join(making, SocketName), filepath.Join(dir, SocketName)
	if err := errors.Join(os.Chmod(made, ownerOnly), os.Rename(made, placed)); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &listener{ln, placed}, nil
}

// listener removes its socket when it is closed.
type listener struct {
	net.Listener

	path string
}

// Close stops listening. It is no error if the socket no longer exists.
func (l *listener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.Listener.Close())
}

// ErrNobody is the error of [Dial] if no server uses the data directory.
var ErrNobody = errors.New("no server listens")

// Dial connects to the server that uses the data directory dir.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	conn, err := dial(ctx, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("control socket in %s: %w", dir, ErrNobody)
	case err != nil:
		return nil, fmt.Errorf("control socket in %s: %w", dir, err)
	}
	return conn, nil
}

func dial(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = short(dir, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// short calls do with a path of the socket in dir that fits into a socket's
// address. If the usual path is too long, it uses one through /proc.
func short(dir string, do func(path string) error) error {
	if path := filepath.Join(dir, SocketName); len(path) <= maxPath {
		return do(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing was written
	open := filepath.Join("/proc/self/fd", strconv.FormatUint(uint64(d.Fd()), 10))
	if _, err := os.Stat(open); err != nil {
		return fmt.Errorf("%w: it may have %d bytes", errLongPath, maxPath-len(SocketName)-1)
	}
	return do(filepath.Join(open, SocketName))
}

// Conns is the number of connections that a [Client] keeps open.
const Conns = 4

// Client returns a client for the server that uses the data directory dir. It
// ignores the host in the URLs of requests.
func Client(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := Dial(ctx, dir)
			return &bulkConn{Conn: conn}, err
		},
		MaxIdleConnsPerHost: Conns,
	}}
}

// bulkConn sends bodies in large parts. Each part wakes the server: with the 32
// KiB of [io.Copy], an import took a twentieth more processor time.
type bulkConn struct {
	net.Conn

	part []byte
}

// ReadFrom implements [io.ReaderFrom].
func (c *bulkConn) ReadFrom(from io.Reader) (int64, error) {
	if c.part == nil {
		c.part = make([]byte, 256<<10)
	}
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, from, c.part)
}
