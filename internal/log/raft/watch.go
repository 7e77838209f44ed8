package raft

import (
	"context"
	"time"

	"trackway/internal/log/health"
	"trackway/internal/sleep"
)

// How often a server looks after itself, and asks the others.
const (
	usualLook = time.Second
	usualAsk  = 5 * time.Second
)

// Unfit returns why this server takes no commands at the moment, or nil. The
// answer to a command is 503.
func (l *Log) Unfit() error { return l.fitness.Err() }

// Full reports whether this server takes no commands because its disk is nearly
// full.
func (l *Log) Full() bool { return l.fitness.Full() }

// Skewed reports whether this server takes no commands because of its clock.
func (l *Log) Skewed() bool { return l.fitness.Skewed() }

// watch looks after this server, and compares it with the others, until the log
// is closed.
func (l *Log) watch() {
	end, ok := l.begin()
	if !ok {
		return
	}
	go func() {
		defer end()
		ctx, cancel := l.whileOpen()
		defer cancel()
		for asked := time.Now(); sleep.For(ctx, l.o.lookEach) == nil; {
			ask := time.Since(asked) >= l.o.askEach
			if ask {
				asked = time.Now()
			}
			l.look(ctx, ask)
		}
	}()
}

// Look asks the other members at once, and returns why this server takes no
// commands, or nil. A server that has started should look before it takes any.
func (l *Log) Look(ctx context.Context) error {
	l.look(ctx, true)
	return l.Unfit()
}

// look finds out whether this server can take part, and whether its state is
// that of the others.
func (l *Log) look(ctx context.Context, ask bool) {
	l.looking.Lock()
	defer l.looking.Unlock()
	if ask {
		l.askOthers(ctx)
		l.noteProgress()
		l.noteReaders()
	}
	if ctx.Err() != nil || l.broken() != nil {
		return
	}
	now := l.judge()
	l.fitness.Set(now, l.o.Log)
	l.transport.Refuse(now != nil && now.Full)
	if now != nil {
		l.resign(ctx)
	}
	if ask {
		l.compare() //nolint:contextcheck // it tells the others even if this server stops
	}
	l.orderDigest(ctx)
}

// noteProgress notes what another server had applied when the others were asked
// before: by now, this server should have it.
func (l *Log) noteProgress() {
	answered, _ := l.fresh()
	latest := uint64(0)
	for i := range answered {
		latest = max(latest, answered[i].Applied)
	}
	l.lag.Note(latest)
}

// Behind reports whether this server lacks entries that another one has had for
// some seconds.
func (l *Log) Behind() bool { return l.lag.Behind(&l.progress) }

// judge returns why this server must not take commands, or nil.
func (l *Log) judge() *health.Unfit {
	if full := l.fitness.Room(l.o.Reserve, l.o.Free); full != nil {
		return full
	}
	return l.skew(l.fitness.Unfit())
}

// skew returns why the clock of this server keeps it from taking commands, or
// nil.
func (l *Log) skew(before *health.Unfit) *health.Unfit {
	if l.o.MaxSkew <= 0 {
		return nil
	}
	answered, members := l.fresh()
	by, agree := skewOf(answered, members, l.o.MaxSkew)
	switch {
	case by == 0 && before != nil && before.Skewed && agree <= members/2:
		return before // too few have answered to tell that the clock is right again
	case by == 0:
		return nil
	}
	return health.Skew(by, l.o.MaxSkew, "those of most others")
}

// skewOf returns by how much the clocks of most members are ahead of this
// server's, if that is too much, or 0. They must be wrong in the same
// direction: with clocks at 0, 30 and 60, the one in the middle is right. It
// also returns how many members have the same time, with this one.
func skewOf(answered []other, members int, most time.Duration) (by time.Duration, agree int) {
	var count [2]int // ahead, behind
	var least [2]time.Duration
	agree = 1
	for i := range answered {
		o, direction := &answered[i], 0
		if o.offset < 0 {
			direction = 1
		}
		if o.offset.Abs()-o.margin <= most {
			agree++
			continue
		}
		if count[direction]++; count[direction] == 1 || o.offset.Abs() < least[direction].Abs() {
			least[direction] = o.offset
		}
	}
	for direction, n := range count {
		if n > members/2 {
			return least[direction], agree
		}
	}
	return 0, agree
}
