package upkeep

import (
	"time"

	"trackway"
)

// A wall clock that is wrong by years would remove all events, for good. So if
// time seems to have jumped ahead, it is not believed for a day. In that day,
// somebody can see the errors in the log and set the clock.
const (
	maxAhead  = 48 * time.Hour // of the newest event, at start
	maxJump   = time.Hour      // of the wall clock against the monotonic clock, between two looks
	doubtTime = 24 * time.Hour
)

// clock decides whether to believe the wall clock. The zero value is ready to
// use.
type clock struct {
	known  bool
	offset trackway.Micros // of the wall clock against the time since the start, at the last look
	doubt  bool
	since  time.Duration // when the doubt began
}

// trust takes the wall clock's time, the time of receipt of the newest event
// (0: there is no event), and the monotonic time since the start.
func (c *clock) trust(wall, newest trackway.Micros, up time.Duration) bool {
	offset := wall - trackway.Micros(up.Microseconds())
	jump := time.Duration(offset-c.offset) * time.Microsecond
	ahead := time.Duration(wall-newest) * time.Microsecond
	switch {
	case c.known && jump > maxJump, !c.known && newest != 0 && ahead > maxAhead:
		c.doubt, c.since = true, up
	case c.known && jump < -maxJump, c.doubt && up-c.since >= doubtTime:
		c.doubt = false
	}
	c.known, c.offset = true, offset
	return !c.doubt
}

// trustsClock reports whether events may be removed by the time at. If not, the
// log says so.
func (u *Upkeep) trustsClock(at trackway.Micros) (bool, error) {
	newest, err := u.store.Newest()
	if err != nil {
		return false, err
	}
	if u.clock.trust(at, newest, time.Since(u.start)) {
		return true, nil
	}
	u.metrics.doubts.Inc()
	u.log.Error("upkeep: the clock seems to have jumped ahead: expired events are not removed for a day",
		"clock", time.UnixMicro(int64(at)).UTC(), "newest_event", time.UnixMicro(int64(newest)).UTC())
	return false, nil
}
