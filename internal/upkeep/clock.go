package upkeep

import (
	"time"

	"trackway"
)

// A wall clock that is wrong by years would have all events removed, for good. So time that seems to have jumped ahead is not
// believed for a day, in which somebody can see the errors in the log and set the clock.
const (
	maxAhead  = 48 * time.Hour // of the newest event, at a start
	maxJump   = time.Hour      // of the wall clock against the one that is never set, between two looks
	doubtTime = 24 * time.Hour
)

// clock tells whether to believe the wall clock. The zero value is ready.
type clock struct {
	known  bool
	offset trackway.Micros // of the wall clock against the time since the start, when they were last seen
	doubt  bool
	since  time.Duration // when the doubt began
}

// trust takes in what the wall clock says, when the newest event was received (0: there is none), and the time since the start by the clock
// that is never set.
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

// trustsClock tells whether events may be removed by the time at. Where not, the log of the process says so.
func (u *Upkeep) trustsClock(at trackway.Micros) (bool, error) {
	newest, err := u.store.Newest()
	if err != nil {
		return false, err
	}
	if u.clock.trust(at, newest, time.Since(u.start)) {
		return true, nil
	}
	u.metrics.doubts.Inc()
	u.log.Error("upkeep: the clock seems to have jumped ahead: no event is removed for being too old until it has stayed so for a day",
		"clock", time.UnixMicro(int64(at)).UTC(), "newest_event", time.UnixMicro(int64(newest)).UTC())
	return false, nil
}
