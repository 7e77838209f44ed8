package piecewise

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// slowReader takes a given time for each piece, and obeys the deadline.
type slowReader struct {
	http.ResponseWriter

	takes time.Duration
	end   time.Time
	read  int
}

func (r *slowReader) SetWriteDeadline(end time.Time) error {
	r.end = end
	return nil
}

func (r *slowReader) Write(b []byte) (int, error) {
	if time.Now().Add(r.takes).After(r.end) {
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(r.takes) //nolint:forbidigo // the bubble's time
	r.read++
	return len(b), nil
}

// A client that takes more than a second a piece on average has an additional
// minute in all. A client that is as fast as that is never cut off.
func TestPieces(t *testing.T) {
	t.Parallel()
	for takes, want := range map[time.Duration]int{time.Second: 1000, 11 * time.Second: 5, 2 * time.Minute: 0} {
		synctest.Test(t, func(t *testing.T) {
			r := &slowReader{ResponseWriter: httptest.NewRecorder(), takes: takes}
			out := To(r)
			var err error
			for n := 0; n < 1000 && err == nil; n++ {
				err = out.Send(nil)
			}
			if r.read != want {
				t.Errorf("%v for each piece: got %d, want %d (%v)", takes, r.read, want, err)
			}
		})
	}
}
