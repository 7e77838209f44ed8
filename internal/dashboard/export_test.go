package dashboard

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"trackway/internal/people"
)

// timedReader reads an answer, and checks that it does not wait beyond the
// deadline.
type timedReader struct {
	http.ResponseWriter

	end  time.Time
	read int // of the answer
}

func (r *timedReader) SetWriteDeadline(end time.Time) error {
	r.end = end
	return nil
}

func (r *timedReader) Write(b []byte) (int, error) {
	if time.Now().After(r.end) {
		return 0, os.ErrDeadlineExceeded
	}
	r.read++
	return len(b), nil
}

// The export of a customer has a time limit for reading it, including its end.
func TestExportIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.apply(t, "view", "jane", "", "j@x")
	r := httptest.NewRequest(http.MethodGet, "/grid/export?customer=1&project="+token, nil)
	w := &timedReader{ResponseWriter: httptest.NewRecorder()}
	q := &request{Server: f.Server, facts: f.facts.Load(), user: people.Everything, w: w, r: r, now: time.Now()}
	if err := q.export(); err != nil || w.read != 1 {
		t.Errorf("got %d pieces, %v, want one in the time that it has", w.read, err)
	}
}
