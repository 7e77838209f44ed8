package onward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"trackway/internal/control/relay"
	"trackway/internal/sleep"
)

// How long a server may send and take nothing before it is asked whether it
// still answers, and how long that may take. A rare filter makes an export
// silent for long, and an answer that follows new events may have none.
const (
	quietTime  = 10 * time.Second
	answerTime = 10 * time.Second
)

// silentError says that a server does not answer any more.
type silentError struct{ name string }

// Error implements [error].
func (e *silentError) Error() string {
	return e.name + " has stopped answering: see trackway cluster status"
}

// guarded is a call that another server carries out. It ends once the server
// has been quiet and does not answer a question, either. A server that hangs
// keeps its connections, so nothing else would end it.
type guarded struct {
	holder        http.RoundTripper
	quiet, answer time.Duration
	moved         atomic.Int64 // when something was sent or received last, in nanoseconds since 1970
	end           context.CancelCauseFunc
}

// guard returns a context for a call, which ends with the call.
func guard(ctx context.Context, holder http.RoundTripper, quiet, answer time.Duration) (context.Context, *guarded) {
	ctx, end := context.WithCancelCause(ctx)
	g := &guarded{holder: holder, quiet: quiet, answer: answer, end: end}
	g.move()
	go g.watch(ctx)
	return ctx, g
}

func (g *guarded) move() { g.moved.Store(time.Now().UnixNano()) }

// watch ends the call if the server is silent. It returns when the call ends.
func (g *guarded) watch(ctx context.Context) {
	for sleep.For(ctx, g.quiet/2) == nil {
		if time.Since(time.Unix(0, g.moved.Load())) < g.quiet {
			continue
		}
		if !g.answers(ctx) {
			g.end(&silentError{nameOf(g.holder)})
			return
		}
		g.move()
	}
}

// answers reports whether the server answers a question that no server knows.
// It has a connection of its own, since all others may be in use.
func (g *guarded) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(relay.Stream(ctx), g.answer)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://holder"+Path+"answers", http.NoBody)
	if err != nil {
		return false
	}
	res, err := g.holder.RoundTrip(r)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return true
}

// nameOf returns what a server is called, if its carrier says it.
func nameOf(holder http.RoundTripper) string {
	if named, is := holder.(fmt.Stringer); is {
		return named.String()
	}
	return "the server that holds the data"
}

// moving is a body that notes its progress.
type moving struct {
	io.ReadCloser

	of *guarded
}

// Read implements [io.Reader].
func (m *moving) Read(b []byte) (int, error) {
	n, err := m.ReadCloser.Read(b)
	if n > 0 {
		m.of.move()
	}
	return n, err
}

// answered is the body of an answer. Its end is that of the call.
type answered struct {
	moving

	ctx context.Context //nolint:containedctx // of the call, and only for the reason of its end
}

// Read implements [io.Reader].
func (a *answered) Read(b []byte) (int, error) {
	n, err := a.moving.Read(b)
	if silent := (*silentError)(nil); err != nil && !errors.Is(err, io.EOF) && errors.As(context.Cause(a.ctx), &silent) {
		return n, silent
	}
	return n, err
}

// Close implements [io.Closer].
func (a *answered) Close() error {
	err := a.moving.Close()
	a.of.end(nil)
	return err
}
