package passing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/piecewise"
)

// leader answers with pieces, each of which takes some time to come.
type leader struct {
	ctx    context.Context //nolint:containedctx // of the question
	pieces int
	each   time.Duration
}

func (l *leader) RoundTrip(r *http.Request) (*http.Response, error) {
	l.ctx = r.Context()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(l)}, nil
}

// Read returns a whole piece, as long as nobody has ended the question.
func (l *leader) Read(b []byte) (int, error) {
	select {
	case <-l.ctx.Done():
		return 0, context.Cause(l.ctx)
	case <-time.After(l.each):
	}
	if l.pieces == 0 {
		return 0, io.EOF
	}
	l.pieces--
	return copy(b, bytes.Repeat([]byte{'x'}, piecewise.Size)), nil
}

// slow is a client that takes some time for a piece.
type slow struct {
	*httptest.ResponseRecorder

	pause time.Duration
}

func (s *slow) Write(b []byte) (int, error) {
	<-time.After(s.pause)
	s.pause = 0
	return s.ResponseRecorder.Write(b)
}

// TestSlowClient: a client may pause as long as it may at the server that
// answers itself. The time is limited in which a piece comes from the leader.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		pause, each time.Duration
		err         error
	}{
		{"the client pauses", piecewise.FirstTime - time.Second, time.Second, nil},
		{"the leader is slow, and goes on", 0, pieceTime - time.Second, nil},
		{"the leader is too slow", 0, pieceTime + time.Second, context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &slow{httptest.NewRecorder(), test.pause}
				w.Header()["X-Request-Id"] = []string{"a"}
				r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
				_, begun, err := Pass(t.Context(), &leader{pieces: 3, each: test.each}, w, r, "/api", nil, new(Caller), func() {})
				if !begun || !errors.Is(err, test.err) || err == nil && w.Body.Len() != 3*piecewise.Size {
					t.Errorf("got %v, %v, and %d bytes", begun, err, w.Body.Len())
				}
			})
		})
	}
}
