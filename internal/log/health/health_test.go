package health_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"trackway/internal/log/health"
)

// TestFailure: the first failure counts. A fault after a restart is reported,
// too, and nothing else.
func TestFailure(t *testing.T) {
	t.Parallel()
	one, two := errors.New("one"), errors.New("two")
	for name, c := range map[string]struct{ happen, reported []error }{
		"two faults":         {[]error{one, two}, []error{one}},
		"a restart, faults":  {[]error{health.ErrRestart, one, two}, []error{health.ErrRestart, one, two}},
		"two restarts":       {[]error{health.ErrRestart, health.ErrRestart}, []error{health.ErrRestart}},
		"a fault, a restart": {[]error{one, health.ErrRestart}, []error{one}},
	} {
		var got []error
		f := health.NewFailure(func(err error) { got = append(got, err) })
		if f.Err() != nil {
			t.Errorf("%s: it begins with %v", name, f.Err())
		}
		for _, err := range c.happen {
			f.Fail(err)
		}
		select {
		case <-f.Done():
		default:
			t.Errorf("%s: it is not done", name)
		}
		if !errors.Is(f.Err(), c.happen[0]) || errors.Join(got...).Error() != errors.Join(c.reported...).Error() {
			t.Errorf("%s: got %v, which is reported as %v", name, f.Err(), got)
		}
	}
	health.NewFailure(nil).Fail(one)
}

// TestFitness: a full server comes back once there is a quarter more room than
// the reserve. A change is logged once.
func TestFitness(t *testing.T) {
	t.Parallel()
	var f health.Fitness
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	for _, c := range []struct {
		free uint64
		full bool
	}{{101, false}, {99, true}, {50, true}, {110, true}, {125, false}, {110, false}} {
		f.Set(f.Room(100<<20, func() (uint64, error) { return c.free << 20, nil }), log)
		if f.Full() != c.full || f.Skewed() || (f.Err() != nil) != c.full {
			t.Errorf("%d free: got %v, full %v", c.free, f.Err(), f.Full())
		}
	}
	if n := strings.Count(text.String(), "\n"); n != 2 || !strings.Contains(text.String(), "99 MiB free, and the reserve is 100 MiB") {
		t.Errorf("logged:\n%s", &text)
	}
	if f.Room(100, func() (uint64, error) { return 0, errors.New("no answer") }) != nil || f.Room(0, nil) != nil {
		t.Error("it is full, though nobody says so")
	}
	for by, want := range map[time.Duration]string{time.Minute: "1m0s behind the brokers (at most 10s", -time.Minute: "1m0s ahead of the brokers"} {
		f.Set(health.Skew(by, 10*time.Second, "the brokers"), log)
		if !f.Skewed() || f.Full() || !strings.Contains(f.Err().Error(), want) {
			t.Errorf("%v: got %v, want %q", by, f.Err(), want)
		}
	}
}
