package kafka

import (
	"context"
	"time"

	"trackway/internal/log/compare"
	"trackway/internal/log/health"
)

// Unfit returns why this server takes no commands at the moment, or nil.
func (l *Log) Unfit() error { return l.fitness.Err() }

// Full reports whether this server takes no commands because its disk is nearly
// full. It applies nothing, either.
func (l *Log) Full() bool { return l.fitness.Full() }

// Skewed reports whether this server takes no commands because of its clock.
func (l *Log) Skewed() bool { return l.fitness.Skewed() }

// Look finds out whether this server can take commands, and returns why not, or
// nil.
func (l *Log) Look(context.Context) error {
	l.judge()
	return l.Unfit()
}

// judge finds out whether this server can take commands.
func (l *Log) judge() {
	if l.broken() != nil {
		return
	}
	now := l.fitness.Room(l.o.Reserve, l.o.Free)
	if now == nil {
		now = l.skewed()
	}
	if l.states.Differs(l.ID()) != 0 {
		now = compare.Stops
	}
	l.fitness.Set(now, l.o.Log)
}

// compareClock compares the clock of this server with that of a broker, which
// stamps the records that members tell.
func (l *Log) compareClock(stamp time.Time, sent span) {
	half := sent.to.Sub(sent.from) / 2
	offset := stamp.Sub(sent.from.Add(half))
	l.offsetOf.Store(int64(offset))
	l.marginOf.Store(int64(half + time.Millisecond)) // stamps are in milliseconds
}

// skewed returns why the clock of this server keeps it from taking commands, or
// nil.
func (l *Log) skewed() *health.Unfit {
	by, margin := time.Duration(l.offsetOf.Load()), time.Duration(l.marginOf.Load())
	if l.o.MaxSkew <= 0 || by.Abs()-margin <= l.o.MaxSkew {
		return nil
	}
	return health.Skew(by, l.o.MaxSkew, "that of the brokers of the log")
}

// behindTime is for how long a server may lack what is in the topic.
const behindTime = 5 * time.Second

// noteProgress notes where the topic ended some seconds ago: by now, this
// server should have that.
func (l *Log) noteProgress() {
	if time.Since(l.lagAt) >= behindTime {
		l.lag.Note(l.end.Load())
		l.lagAt = time.Now()
	}
}

// Behind reports whether this server lacks entries that the topic has had for
// some seconds.
func (l *Log) Behind() bool { return l.lag.Behind(&l.progress) }
