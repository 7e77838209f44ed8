package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"trackway/internal/control"
)

// refusedHere is a CSV file of rows that are refused before they are sent, so
// that little is sent for them.
func refusedHere(rows int) string {
	return "customer_ids.cookie,event_type,timestamp\n" + strings.Repeat("u1,b,\n", rows)
}

func TestManyRefusedHere(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	const rows = 20*control.MaxLines + 1
	r := mustFile(t, write(t, "rows.csv", refusedHere(rows)), Options{Post: f.post})
	if r.Totals.Refused != rows || r.Totals.Rows() != rows {
		t.Errorf("got %+v, want %d rows that were refused", r.Totals, rows)
	}
}

// Only the row whose command is longer than a line may be is refused.
func TestLongCommand(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	long := strings.Repeat("\x01", control.MaxLine/4) // each takes six bytes in JSON
	r := mustFile(t, write(t, "rows.csv", "customer_ids.cookie,event_type\nu1,a\nu1,"+long+"\nu1,b\n"), Options{Post: f.post})
	if got := f.types(); !slices.Equal(got, []string{"a", "b"}) || r.Totals.Refused != 1 {
		t.Errorf("got %q, %+v", got, r.Totals)
	}
}

// stuckServer accepts batches, and answers none until the test lets it.
type stuckServer struct {
	mu      sync.Mutex // guards what follows
	began   int        // batches
	whole   []int      // rows of the batches that arrived completely, in order
	answers chan error // answers one
}

func (s *stuckServer) post(_ context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.began++
	s.mu.Unlock()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	rows := strings.Count(string(text), "\n")
	s.mu.Lock()
	s.whole = append(s.whole, rows)
	s.mu.Unlock()
	if int64(len(text)) != length || length > control.MaxBatch || rows > control.MaxLines {
		return nil, fmt.Errorf("%d bytes, %d were announced", len(text), length)
	}
	return io.NopCloser(strings.NewReader(strings.Repeat(`{"status":"refused"}`+"\n", rows))), <-s.answers
}

// state waits until everything is blocked, and returns how many batches have
// begun to arrive, and how many have arrived completely.
func (s *stuckServer) state() (began, whole int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began, len(s.whole)
}

// At most inFlight batches are on their way, and each arrives completely only
// after the one before is stored.
func TestInFlight(t *testing.T) {
	t.Parallel()
	const batches = 3 * inFlight
	path := write(t, "rows.csv", refusedHere(batches*control.MaxLines))
	synctest.Test(t, func(t *testing.T) {
		s := &stuckServer{answers: make(chan error)}
		ended := make(chan error, 1)
		go func() {
			_, err := File(t.Context(), path, Options{Post: s.post})
			ended <- err
		}()
		for stored := range batches {
			if began, whole := s.state(); began != min(stored+inFlight, batches) || whole != stored+1 {
				t.Errorf("%d stored: %d batches have begun, and %d came whole", stored, began, whole)
			}
			s.answers <- nil
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Several batches are decoded at a time, but the order of the file is kept. The
// times that the server gives to events without one follow that order, too.
func TestOrder(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text, types := numbered(20 * control.MaxLines)
	path := write(t, "rows.ndjson", strings.ReplaceAll(text, `,"timestamp":1`, ""))
	mustFile(t, path, Options{Post: f.post})
	if got := f.types(); !slices.Equal(got, types) {
		t.Errorf("got %d rows, or in another order, want %d once", len(got), len(types))
	}
	for i := range f.commands[1:] {
		before, c := &f.commands[i], &f.commands[i+1]
		if c.Time != c.Received || c.Received <= before.Received {
			t.Fatalf("row %d happened at %d and was received at %d, the row before at %d", i+2, c.Time, c.Received, before.Received)
		}
	}
}

// An import that waits for a server that acknowledges nothing can be
// interrupted. It then waits only for the batch that arrived completely.
func TestInterruptWaiting(t *testing.T) {
	t.Parallel()
	for _, answer := range []error{nil, errDisk} {
		path := write(t, "rows.csv", refusedHere(2*inFlight*control.MaxLines))
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &stuckServer{answers: make(chan error)}
			ended := make(chan error, 1)
			var r Result
			go func() {
				var err error
				r, err = File(ctx, path, Options{Post: s.post})
				ended <- err
			}()
			synctest.Wait()
			cancel()
			synctest.Wait()
			select {
			case err := <-ended:
				t.Fatalf("it did not wait: %v", err)
			default:
			}
			s.answers <- answer
			want, lines := context.Canceled, int64(1+control.MaxLines)
			if answer != nil {
				want, lines = answer, 0
			}
			if err := <-ended; !errors.Is(err, want) || r.Totals.Lines != lines {
				t.Errorf("got %v, want %v, behind line %d, want %d", err, want, r.Totals.Lines, lines)
			}
			if _, whole := s.state(); whole != 1 {
				t.Errorf("%d batches were sent, want 1", whole)
			}
		})
	}
}

// Rows are sent as soon as the import would have to wait for more input. An
// import that waits for its input can be interrupted.
func TestSlowInput(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	input, rows := io.Pipe()
	defer rows.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stored := make(chan int64)
	ended := make(chan error)
	go func() {
		_, err := File(ctx, Stdin, Options{Post: f.post, Stdin: input, StateDir: t.TempDir(), Report: func(s Status) { stored <- s.Totals.Stored }})
		ended <- err
	}()
	for n := range int64(3) {
		if _, err := io.WriteString(rows, row("a")+"\n"); err != nil {
			t.Fatal(err)
		}
		if got := <-stored; got != n+1 {
			t.Fatalf("got %d rows stored, want %d", got, n+1)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
