// Package upkeep does the work on a store that no request waits for: it has the files lose what was erased, and events go that
// are older than they are to be kept. Its one idea is that this work is bounded by what it costs and not by when it is due:
// after a clean-up it rests nine times as long as that took, and between two looks at the log it rests.
//
// It decides when; how is the store's.
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

// Store is what the work is done on.
type Store interface {
	// CleanUp has the files lose what was erased, asks now when that is done, and returns how many erasures it did. Those that
	// it did not do stay scheduled.
	CleanUp(ctx context.Context, now func() trackway.Micros) (int, error)

	// Expire removes the events from sequence number from up to, not including, to whose time is before a bound.
	Expire(ctx context.Context, from, to uint64, before func(project uint32, typ string) trackway.Micros) (query.Expired, error)

	// Newest returns when the last event of the log was received, 0 where there is none.
	Newest() (trackway.Micros, error)

	// Reclaim gives back the space of events that were removed from the log between two sequence numbers.
	Reclaim(ctx context.Context, from, to uint64) error
}

// The pace. A clean-up comes at most cleanPause after the erasure, if the one before was short.
const (
	cleanPause  = 10 * time.Second
	cleanRest   = 9                     // times what the last clean-up took
	retryPause  = time.Minute           // after an error
	expirePause = time.Hour             // between looks for events that have become too old
	segment     = 4096                  // events looked at in one go
	segmentRest = 50 * time.Millisecond // after that: some 80 000 events a second
)

// Upkeep does the work while it runs.
type Upkeep struct {
	store   Store
	log     *slog.Logger
	metrics *metrics
	keep    atomic.Pointer[retention]
	start   time.Time // with the reading of the clock that is never set
	clock   clock
	changed chan struct{} // holds one, when keep was replaced
}

// retention is how long events are kept, by project.
type retention map[uint32]trackway.Retention

// New returns what [Upkeep.Run] runs.
func New(store Store, projects []trackway.Project, log *slog.Logger, reg prometheus.Registerer) *Upkeep {
	u := &Upkeep{store: store, log: log, metrics: newMetrics(reg), start: time.Now(), changed: make(chan struct{}, 1)}
	u.keep.Store(retentionOf(projects))
	return u
}

// retentionOf gathers what is to be kept for a time only.
func retentionOf(projects []trackway.Project) *retention {
	keep := make(retention)
	for _, p := range projects {
		if p.Keep.Default != 0 || len(p.Keep.Events) > 0 {
			keep[p.Number] = p.Keep
		}
	}
	return &keep
}

// Reload puts other retention times in force. Events of a project that is not named are kept.
func (u *Upkeep) Reload(projects []trackway.Project) {
	u.keep.Store(retentionOf(projects))
	select {
	case u.changed <- struct{}{}:
	default: // it will be seen
	}
}

// Run works until ctx ends; what is half done then goes on after the next start. It returns nil.
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
