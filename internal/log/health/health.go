// Package health says whether a server can go on with its log, and whether it
// takes commands.
package health

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
)

// ErrRestart says that the state takes effect when the log and its machine are
// opened again. It is no fault.
var ErrRestart = errors.New("the state of this server is replaced at its next opening")

// Failure is why a server cannot go on, once it cannot. It is safe for
// concurrent use.
type Failure struct {
	report func(error)
	why    atomic.Pointer[error]
	done   chan struct{}
	once   sync.Once
}

// NewFailure returns one that did not happen. It calls report when it does;
// nil: it calls nothing.
func NewFailure(report func(error)) *Failure {
	return &Failure{report: report, done: make(chan struct{})}
}

// Fail says that the server cannot go on. A fault is reported even if the
// server was to be opened again anyway: it must not go on with such a disk.
func (f *Failure) Fail(err error) {
	if f.Stop(err) && f.report != nil {
		f.report(err)
	}
}

// Stop does what [Failure.Fail] does, but returns whether it has to be reported
// instead of reporting it.
func (f *Failure) Stop(err error) (report bool) {
	f.once.Do(func() {
		f.why.Store(&err)
		close(f.done)
		report = true
	})
	return report || errors.Is(f.Err(), ErrRestart) && !errors.Is(err, ErrRestart)
}

// Err returns why the server cannot go on, or nil.
func (f *Failure) Err() error {
	if why := f.why.Load(); why != nil {
		return *why
	}
	return nil
}

// Done returns a channel that is closed once the server cannot go on.
func (f *Failure) Done() <-chan struct{} { return f.done }

// Unfit is why a server takes no commands.
type Unfit struct {
	Why    *trackway.Error
	Full   bool // it takes no entries, either: its disk is nearly full
	Skewed bool // its clock is wrong
}

// Fitness is whether a server takes commands. Until it is set, the server does.
// It is safe for concurrent use.
type Fitness struct{ unfit atomic.Pointer[Unfit] }

// Unfit returns why the server takes no commands, or nil.
func (f *Fitness) Unfit() *Unfit { return f.unfit.Load() }

// Err returns the answer to a command, or nil.
func (f *Fitness) Err() error {
	if u := f.unfit.Load(); u != nil {
		return u.Why
	}
	return nil
}

// Full reports whether the server takes no entries.
func (f *Fitness) Full() bool { u := f.unfit.Load(); return u != nil && u.Full }

// Skewed reports whether the server takes no commands because of its clock.
func (f *Fitness) Skewed() bool { u := f.unfit.Load(); return u != nil && u.Skewed }

// Set says why the server takes no commands; nil: it does. It logs a change.
func (f *Fitness) Set(now *Unfit, log *slog.Logger) {
	switch before := f.unfit.Swap(now); {
	case now != nil && before == nil:
		log.Error("this server takes no commands", "why", now.Why.Msg)
	case now == nil && before != nil:
		log.Info("this server takes commands again")
	}
}

// Room returns why the disk of the server keeps it from taking commands, or
// nil. The server that was full takes commands again once there is more room
// than the reserve, or it would come and go.
func (f *Fitness) Room(reserve uint64, free func() (uint64, error)) *Unfit {
	if reserve == 0 {
		return nil
	}
	left, err := free()
	need := reserve
	if f.Full() {
		need += need / 4
	}
	if err != nil || left >= need {
		return nil
	}
	return &Unfit{Full: true, Why: refusal(
		"This server stores nothing, because its disk has %d MiB free, and the reserve is %d MiB (cluster.reserve). Other servers of the cluster may.",
		left>>20, reserve>>20)}
}

// Skew returns why a server takes no commands whose clock is behind others by
// so much, which is more than it may be. If by is negative, it is ahead.
func Skew(by, most time.Duration, others string) *Unfit {
	direction := "behind"
	if by < 0 {
		direction = "ahead of"
	}
	return &Unfit{Skewed: true, Why: refusal(
		"This server stores nothing, because its clock is %v %s %s (at most %v: cluster.max_clock_skew). Other servers of the cluster may.",
		by.Abs().Round(time.Millisecond), direction, others, most)}
}

func refusal(format string, args ...any) *trackway.Error {
	return &trackway.Error{Code: trackway.Overloaded, Msg: fmt.Sprintf(format, args...)}
}
