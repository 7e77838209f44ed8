package kafka

import (
	"context"
	"fmt"
	"time"

	"trackway"
)

// unfit is why this server takes no commands.
type unfit struct {
	why    *trackway.Error
	full   bool // its disk is nearly full: it applies nothing, either
	skewed bool // its clock is wrong
}

// Unfit returns why this server takes no commands at the moment, or nil.
func (l *Log) Unfit() error {
	if u := l.unfit.Load(); u != nil {
		return u.why
	}
	return nil
}

// Full reports whether this server takes no commands because its disk is nearly
// full.
func (l *Log) Full() bool { u := l.unfit.Load(); return u != nil && u.full }

// Skewed reports whether this server takes no commands because of its clock.
func (l *Log) Skewed() bool { u := l.unfit.Load(); return u != nil && u.skewed }

// Look finds out whether this server can take commands, and returns why not, or
// nil.
func (l *Log) Look(context.Context) error {
	l.judge()
	return l.Unfit()
}

// judge finds out whether this server can take commands.
func (l *Log) judge() {
	before, now := l.unfit.Load(), l.disk()
	if now == nil {
		now = l.skewed()
	}
	l.unfit.Store(now)
	switch {
	case now != nil && before == nil:
		l.o.Log.Error("this server takes no commands", "why", now.why.Msg)
	case now == nil && before != nil:
		l.o.Log.Info("this server takes commands again")
	}
}

func (l *Log) disk() *unfit {
	if l.o.Reserve == 0 {
		return nil
	}
	free, err := l.o.Free()
	need := l.o.Reserve
	if l.Full() {
		need += need / 4 // or it would come and go
	}
	if err != nil || free >= need {
		return nil
	}
	return &unfit{full: true, why: &trackway.Error{Code: trackway.Overloaded, Msg: fmt.Sprintf(
		"This server stores nothing, because its disk has %d MiB free, and the reserve is %d MiB (cluster.reserve). Other servers of the cluster may.",
		free>>20, l.o.Reserve>>20)}}
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
func (l *Log) skewed() *unfit {
	by, margin := time.Duration(l.offsetOf.Load()), time.Duration(l.marginOf.Load())
	if l.o.MaxSkew <= 0 || by.Abs()-margin <= l.o.MaxSkew {
		return nil
	}
	direction := "behind"
	if by < 0 {
		direction = "ahead of"
	}
	return &unfit{skewed: true, why: &trackway.Error{Code: trackway.Overloaded, Msg: fmt.Sprintf(
		"This server stores nothing, because its clock is %v %s that of the brokers of the log (at most %v: cluster.max_clock_skew). Other servers of the cluster may.",
		by.Abs().Round(time.Millisecond), direction, l.o.MaxSkew)}}
}

// behindTime is for how long a server may lack what is in the topic.
const behindTime = 5 * time.Second

// noteProgress notes where the topic ended some seconds ago: by now, this
// server should have that.
func (l *Log) noteProgress() {
	if time.Since(l.expectedAt) < behindTime {
		return
	}
	l.needed.Store(l.expected)
	l.expected, l.expectedAt = l.end.Load(), time.Now()
}

// Behind reports whether this server lacks entries that the topic has had for
// some seconds.
func (l *Log) Behind() bool { return l.progress.Reached() < l.needed.Load() }
