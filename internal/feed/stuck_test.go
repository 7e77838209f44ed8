package feed

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// refusedHere is a CSV file of rows that are refused before they are sent, so that what is sent for them is short.
func refusedHere(rows int) string {
	return "customer_ids.cookie,event_type,timestamp\n" + strings.Repeat("u1,b,\n", rows)
}

// Rows that are refused here fill the window before they fill what is sent at once.
func TestManyRefusedHere(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	const rows = 3 * windowRows
	r := mustFile(t, write(t, "rows.csv", refusedHere(rows)), Options{Post: f.post})
	if r.Totals.Refused != rows || r.Totals.Rows() != rows {
		t.Errorf("got %+v, want %d rows that were refused", r.Totals, rows)
	}
}

// An import that waits for a server which acknowledges nothing can be interrupted.
func TestInterruptWaiting(t *testing.T) {
	t.Parallel()
	path := write(t, "rows.csv", refusedHere(2*windowRows))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		post := func(_ context.Context, body io.ReadCloser) (io.ReadCloser, error) {
			from, to := io.Pipe()
			go func() {
				_, err := io.Copy(io.Discard, body)
				_ = body.Close()
				_ = to.CloseWithError(errors.Join(err, errDisk))
			}()
			return from, nil
		}
		ended := make(chan error, 1)
		go func() {
			_, err := File(ctx, path, Options{Post: post})
			ended <- err
		}()
		synctest.Wait() // the window is full
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, errDisk) {
			t.Errorf("got %v, want %v", err, errDisk)
		}
	})
}
