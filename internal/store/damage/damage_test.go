package damage

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
)

// TestNote: a damaged place is counted and logged once. If there are many, all
// are counted, but only a few are logged.
func TestNote(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := New(slog.New(slog.NewTextHandler(&log, nil)))
	bad := errors.New("bad sector")
	for range 5 {
		l.Note(Usage, "day 3", bad)
	}
	if n, said := l.Count(Usage), strings.Count(log.String(), "bad sector"); n != 1 || said != 1 {
		t.Errorf("counted %d, said %d times, want once each:\n%s", n, said, &log)
	}
	log.Reset()
	for i := range mostPlaces + 5 {
		l.Note(Event, strconv.Itoa(i), bad)
	}
	if n, said := l.Count(Event), strings.Count(log.String(), "bad sector"); n != mostPlaces || said != mostSaid {
		t.Errorf("counted %d, said %d times, want %d and %d", n, said, mostPlaces, mostSaid)
	}
	if !strings.Contains(log.String(), "only counted") {
		t.Error("it is not said that there is more")
	}
	if n := l.Count(Count); n != 0 {
		t.Errorf("%d of another kind", n)
	}
}
