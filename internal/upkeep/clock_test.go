package upkeep

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
)

func TestClock(t *testing.T) {
	t.Parallel()
	const hour, day = time.Hour, 24 * time.Hour
	type look struct {
		up, wall time.Duration // wall: since some time in the past
		want     bool
	}
	for name, test := range map[string]struct {
		newest time.Duration // 0: there is no event
		looks  []look
	}{
		"usual":           {1000 * day, []look{{0, 1000 * day, true}, {hour, 1000*day + hour, true}, {100 * day, 1100 * day, true}}},
		"no event":        {0, []look{{0, 1000 * day, true}}},
		"idle for long":   {100 * day, []look{{0, 200 * day, false}, {23 * hour, 200*day + 23*hour, false}, {day, 201 * day, true}, {2 * day, 202 * day, true}}},
		"jumps, stays":    {day, []look{{0, day, true}, {hour, 400 * day, false}, {2 * hour, 400*day + hour, false}, {25 * hour, 401 * day, true}}},
		"jumps and back":  {day, []look{{0, day, true}, {hour, 400 * day, false}, {2 * hour, day + 2*hour, true}}},
		"slow correction": {day, []look{{0, day, true}, {hour, day + hour + time.Minute, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			for _, l := range test.looks {
				wall, newest := trackway.Micros(l.wall.Microseconds()), trackway.Micros(test.newest.Microseconds())
				if got := c.trust(wall, newest, l.up); got != l.want {
					t.Errorf("after %v trusted: %v, want %v", l.up, got, l.want)
				}
			}
		})
	}
}

// TestClockAhead: if the clock is far ahead of the newest event at start,
// nothing is removed for a day.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	f := &fake{}
	run(t, f, trackway.Retention{Default: time.Hour}, func(_ *Upkeep, reg *prometheus.Registry) {
		f.mu.Lock()
		f.newest = trackway.MicrosOf(time.Now().Add(-1000 * time.Hour))
		f.events = []fakeEvent{{typ: "e", at: f.newest}}
		f.mu.Unlock()
		wait(23 * time.Hour)
		f.mu.Lock()
		if len(f.looked) > 0 || counted(t, reg, "trackway_upkeep_clock_doubts_total") < 20 {
			t.Errorf("looked at %v", f.looked)
		}
		f.mu.Unlock()
		wait(3 * time.Hour)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.events[0].gone {
			t.Error("a clock that stayed ahead for a day is not believed")
		}
	})
}

// TestPassEndsWithItsRules: once a reload has undone a mistake, the mistake
// does no more harm.
func TestPassEndsWithItsRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{events: make([]fakeEvent, 10*segment)}
		hour := []trackway.Project{{Number: 1, Keep: trackway.Retention{Default: time.Hour}}}
		u := New(f, hour, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		f.onLook = func() {
			if len(f.looked) == 3 {
				u.Reload([]trackway.Project{{Number: 1}})
			}
		}
		var d due
		if err := u.pass(t.Context(), &d); err != nil || len(f.looked) != 3 || len(f.reclaims) != 1 {
			t.Errorf("looked at %v, reclaimed %v after the rules had changed: %v", f.looked, f.reclaims, err)
		}
	})
}
