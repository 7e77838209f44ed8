// Package upkeep does the work on a store that no request waits for: it removes
// the bytes of erased data from the files, and expired events from the log. Its
// pace is limited by what the work costs, not by when it is due: after a
// clean-up, it rests nine times as long as that took, and it rests between two
// looks at the log.
//
// It decides when to work; the store knows how.
package upkeep

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/sleep"
)

// Store is the store that is worked on.
type Store interface {
	// CleanUp removes the bytes of erased data from the files, and returns how
	// many erasures it finished. It calls now for the time when they are
	// finished. Unfinished erasures stay scheduled.
	CleanUp(ctx context.Context, now func() trackway.Micros) (int, error)

	// Expire removes the events from sequence number from up to, but not
	// including, to whose time is before a bound.
	Expire(ctx context.Context, from, to uint64, before func(project uint32, typ string) trackway.Micros) (query.Expired, error)

	// Newest returns when the last event of the log was received, or 0 if the
	// log is empty.
	Newest() (trackway.Micros, error)

	// Reclaim frees the space of events that were removed from the log between
	// two sequence numbers.
	Reclaim(ctx context.Context, from, to uint64) error
}

// The pace. A clean-up begins at most cleanPause after the erasure, if the one
// before was short.
const (
	cleanPause  = 10 * time.Second
	cleanRest   = 9                     // times the duration of the last clean-up
	retryPause  = time.Minute           // after an error
	expirePause = time.Hour             // between searches for expired events
	segment     = 4096                  // events examined in one step
	segmentRest = 50 * time.Millisecond // after each step: about 80 000 events a second
)

// Upkeep does this work while Run is running.
type Upkeep struct {
	store   Store
	log     *slog.Logger
	metrics *metrics
	keep    atomic.Pointer[retention]
	start   time.Time // with a monotonic clock reading
	clock   clock
	changed chan struct{} // holds one element when keep was replaced
}

// retention is how long events are kept, by project.
type retention map[uint32]trackway.Retention

// New returns an upkeep for [Upkeep.Run].
func New(store Store, projects []trackway.Project, log *slog.Logger, reg prometheus.Registerer) *Upkeep {
	u := &Upkeep{store: store, log: log, metrics: newMetrics(reg), start: time.Now(), changed: make(chan struct{}, 1)}
	u.keep.Store(retentionOf(projects))
	return u
}

// retentionOf collects the projects with a limited retention.
func retentionOf(projects []trackway.Project) *retention {
	keep := make(retention)
	for _, p := range projects {
		if p.Keep.Default != 0 || len(p.Keep.Events) > 0 {
			keep[p.Number] = p.Keep
		}
	}
	return &keep
}

// Reload puts other retention times in force. Events of projects that are
// missing are kept.
func (u *Upkeep) Reload(projects []trackway.Project) {
	u.keep.Store(retentionOf(projects))
	select {
	case u.changed <- struct{}{}:
	default: // a reload is pending already
	}
}

// Run works until ctx ends, and then returns nil. Unfinished work continues
// after the next start.
func (u *Upkeep) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { u.clean(ctx); return nil })
	g.Go(func() error { u.expire(ctx); return nil })
	return g.Wait()
}

func now() trackway.Micros { return trackway.MicrosOf(time.Now()) }

// clean cleans up after erasures.
func (u *Upkeep) clean(ctx context.Context) {
	for pause := cleanPause; sleep.For(ctx, pause) == nil; {
		start := time.Now()
		n, err := u.store.CleanUp(ctx, now)
		took := time.Since(start)
		pause = max(cleanPause, cleanRest*took)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			u.failed("clean up after erasures", err)
			pause = max(pause, retryPause)
		case n > 0:
			u.metrics.erased.Add(float64(n))
			u.log.Info("erased for good", "customers", n, "took", took.Round(time.Millisecond))
		}
	}
}

func (u *Upkeep) failed(what string, err error) {
	u.metrics.failures.Inc()
	u.log.Error("upkeep: it is tried again", "what", what, "err", err)
}
