package onward

import (
	"io"
	"sync"
)

// recorded is a body that can be read again from its beginning while it is
// still arriving. It keeps what it has read, which is bounded.
type recorded struct {
	mu   sync.Mutex // guards what follows
	from io.Reader
	read []byte
	err  error
}

// replay returns the body, from its beginning.
func (r *recorded) replay() io.ReadCloser { return &replay{of: r} }

type replay struct {
	of *recorded
	at int
}

// Read implements [io.Reader].
func (p *replay) Read(b []byte) (int, error) {
	r := p.of
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.at == len(r.read) && r.err == nil {
		var n int
		n, r.err = r.from.Read(b)
		r.read = append(r.read, b[:n]...)
	}
	n := copy(b, r.read[p.at:])
	if p.at += n; n == 0 {
		return 0, r.err
	}
	return n, nil
}

// Close implements [io.Closer]. Another one may read the rest.
func (*replay) Close() error { return nil }
