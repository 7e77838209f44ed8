// Package refusals gathers the counts of refused commands, for servers that
// share a log.
package refusals

import (
	"context"
	"sync"
	"time"

	"trackway"
	"trackway/internal/ingest"
	"trackway/internal/sleep"
)

// Gathered counts refused commands until they are worth an entry. A flood of
// refusals would otherwise fill the log that the servers share. A crash loses
// those of the last second. The zero value is ready to use.
type Gathered struct {
	mu     sync.Mutex
	counts map[refusedOn]refused
}

// refusedOn is a project and a day. Usage counts each pair by itself.
type refusedOn struct {
	project uint32
	day     trackway.Micros
}

type refused struct {
	at trackway.Micros // of the last one
	n  int
}

const (
	gatherTime = time.Second
	day        = trackway.Micros(24 * time.Hour / time.Microsecond)
)

func (r *Gathered) add(project uint32, at trackway.Micros, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[refusedOn]refused)
	}
	on := refusedOn{project, at / day}
	r.counts[on] = refused{at, r.counts[on].n + n}
}

// save stores the counts of the projects that can be stored, as takes says. The
// others are counted again.
func (r *Gathered) save(to ingest.Store, takes func(project uint32) bool) error {
	r.mu.Lock()
	counts := r.counts
	r.counts = nil
	r.mu.Unlock()
	var failed error
	for on, c := range counts {
		if !takes(on.project) {
			r.add(on.project, c.at, c.n)
			continue
		}
		if err := to.Refused(on.project, c.at, c.n); err != nil {
			failed = err
			r.add(on.project, c.at, c.n)
		}
	}
	return failed
}

// Run saves the counts each second, until ctx ends, and then a last time. While
// takes says that nothing of a project can be stored, its counts wait, and hold
// up no others.
func (r *Gathered) Run(ctx context.Context, to ingest.Store, takes func(project uint32) bool) error {
	for ended := false; !ended; {
		ended = sleep.For(ctx, gatherTime) != nil
		_ = r.save(to, takes) // tried again, unless ended: a crash may lose counts, too
	}
	return nil
}

// Over returns a store whose refusals are gathered.
func (r *Gathered) Over(s ingest.Store) ingest.Store { return gathering{s, r} }

type gathering struct {
	ingest.Store

	refusals *Gathered
}

// Refused implements [ingest.Store].
func (g gathering) Refused(project uint32, at trackway.Micros, n int) error {
	g.refusals.add(project, at, n)
	return nil
}
