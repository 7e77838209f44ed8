package limit

import (
	"testing"
	"time"

	"trackway"
)

func TestInForce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	in := func(d time.Duration) trackway.Override { return trackway.Override{Until: now.Add(d)} }
	for _, c := range []struct {
		overrides []trackway.Override
		inForce   int
		end       time.Time
	}{
		{nil, 0, time.Time{}},
		{[]trackway.Override{{}}, 1, time.Time{}},
		{[]trackway.Override{in(-time.Hour), in(0)}, 0, time.Time{}},
		{[]trackway.Override{in(time.Hour), {}, in(time.Second), in(-1), in(time.Minute)}, 4, now.Add(time.Second)},
	} {
		if list, end := InForce(c.overrides, now); len(list) != c.inForce || !end.Equal(c.end) {
			t.Errorf("got %d in force, the next end at %v; want %d and %v", len(list), end, c.inForce, c.end)
		}
	}
}
