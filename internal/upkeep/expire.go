package upkeep

import (
	"context"
	"math"
	"time"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/sleep"
)

// due remembers when each segment of the log must be examined next: when the
// first of its events expires. So each event is read once, and again when its
// segment has something to lose. It uses a number for each segment, 2 MB for a
// thousand million events. A restart or a reload forgets it, and the log is
// read once more.
type due []trackway.Micros

const never trackway.Micros = math.MaxInt64

// expire removes expired events.
func (u *Upkeep) expire(ctx context.Context) {
	var d due
	for {
		pause := expirePause
		if err := u.pass(ctx, &d); ctx.Err() != nil {
			return
		} else if err != nil {
			u.failed("remove events that are too old", err)
			pause = retryPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-u.changed:
			d = nil
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// pass goes through the log once. It stops if other retention times come into
// force, since it uses those from its start.
func (u *Upkeep) pass(ctx context.Context, d *due) error {
	rules := u.keep.Load()
	keep := *rules
	if len(keep) == 0 {
		return nil
	}
	at := now()
	if ok, err := u.trustsClock(at); !ok || err != nil {
		return err
	}
	bound := keep.before(at)
	var first, last uint64 // of the segments that lost events
	removed := 0
	for i, end := 0, false; !end && u.keep.Load() == rules; i++ {
		if i < len(*d) && (*d)[i] > at {
			continue
		}
		from, to := uint64(i)*segment, uint64(i+1)*segment
		x, err := u.store.Expire(ctx, from, to, bound)
		u.metrics.expired.Add(float64(x.Removed))
		if err != nil {
			return err
		}
		if x.Removed > 0 {
			if removed == 0 {
				first = from
			}
			last, removed = to, removed+x.Removed
		}
		if end = x.End; !end {
			d.set(i, at, x.Soonest)
		}
		if err := sleep.For(ctx, segmentRest); err != nil {
			return err
		}
	}
	if removed == 0 {
		return nil
	}
	u.log.Info("events that were too old are removed", "events", removed)
	return u.store.Reclaim(ctx, first, last)
}

// before returns a function that returns the bound for a project and a type:
// events before it have expired at the given time.
func (k retention) before(at trackway.Micros) func(project uint32, typ string) trackway.Micros {
	return func(project uint32, typ string) trackway.Micros {
		kept := k[project]
		if age := kept.Of(typ); age > 0 {
			return at - trackway.Micros(age.Microseconds())
		}
		return query.Forever
	}
}

// set records when segment i is due.
func (d *due) set(i int, at, soonest trackway.Micros) {
	for len(*d) <= i {
		*d = append(*d, 0)
	}
	(*d)[i] = never
	if soonest < never-at {
		(*d)[i] = at + soonest
	}
}
