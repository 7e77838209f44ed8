// Package trial answers, while a server runs, what another limit would have
// done to the newest recorded calls. The work of an answer is bounded: the
// package reads as much of the record, back from its end, as lies within
// bounds, and says so. The commands of package main have no such bounds: they
// read the whole record in a process of their own.
package trial

import (
	"context"
	"errors"
	"time"

	"trackway"
	"trackway/internal/limit/replay"
	"trackway/internal/limit/traffic"
)

// Bounds of an answer. The first three are those of the part of the record. The
// limiter has a slot for each caller of each policy that counts it.
const (
	maxRows    = 250_000
	maxCalls   = 2_000_000
	maxCallers = 20_000 // addresses
	slots      = 1 << 17
	// patience bounds an attempt. After it, one with a quarter of the rows,
	// calls and callers follows.
	patience = 3 * time.Second
	attempts = 4
	rows     = 50 // callers in an answer
)

// Bench tries limits on a record. It is safe for concurrent use, but the caller
// has to bound how many answers are made at a time: each takes a processor, and
// memory for the callers of the part.
type Bench struct {
	Record *traffic.Recorder
	// Limits returns the limits in force.
	Limits func() replay.Limits

	most     traffic.Most  // zero: the usual bounds
	patience time.Duration // zero: the usual one
}

// Part is the part of the record that an answer is about.
type Part struct {
	From time.Time `json:"from,omitzero"` // zero: nothing is recorded
	To   time.Time `json:"to,omitzero"`
	Cut  bool      `json:"cut"` // the record goes back further
}

// Tried is the answer for a limit. Result is nil if nothing is recorded.
type Tried struct {
	Part   Part          `json:"part"`
	Result *replay.Tried `json:"result"`
}

// Try says what a limit would have done.
func (b *Bench) Try(ctx context.Context, policy string, limit uint32, window time.Duration) (*Tried, error) {
	answer := new(Tried)
	part, err := b.attempt(ctx, func(from replay.Source, part Part) (err error) {
		t := replay.Trial{Policy: policy, Limit: limit, Window: window, Rows: rows, From: part.From, To: part.To}
		answer.Result, err = replay.Try(from, b.limits(), t)
		return err
	})
	answer.Part = part
	return answer, err
}

// Advice is the answer to a wish. Result is nil if nothing is recorded.
type Advice struct {
	Part     Part               `json:"part"`
	Result   *replay.Suggestion `json:"result"`
	Warnings []string           `json:"warnings"`
}

// Suggest proposes a limit for one policy.
func (b *Bench) Suggest(ctx context.Context, wish replay.Wish) (*Advice, error) {
	answer := &Advice{Warnings: []string{}}
	part, err := b.attempt(ctx, func(from replay.Source, _ Part) error {
		a, err := replay.Suggest(from, b.limits(), wish)
		if err != nil {
			return err
		}
		answer.Warnings = a.Warnings
		for i := range a.Suggestions {
			if a.Suggestions[i].Name == wish.Policy {
				answer.Result = &a.Suggestions[i]
			}
		}
		return nil
	})
	answer.Part = part
	return answer, err
}

func (b *Bench) limits() replay.Limits {
	l := b.Limits()
	l.Callers = slots
	return l
}

// ErrSlow means that the server had no time even for the newest calls.
var ErrSlow = &trackway.Error{Code: trackway.Overloaded, Msg: "The server has no time to try limits at the moment. Try again, or use trackway limits simulate."}

// attempt calls do with the newest part of the record that lies within bounds.
// If do takes too long, it tries a smaller part.
func (b *Bench) attempt(ctx context.Context, do func(replay.Source, Part) error) (Part, error) {
	most, wait := b.most, b.patience
	if most == (traffic.Most{}) {
		most = traffic.Most{Rows: maxRows, Calls: maxCalls, Callers: maxCallers}
	}
	if wait == 0 {
		wait = patience
	}
	_ = b.Record.Flush() // what was not written is missing, as the log says
	for range attempts {
		part, err := b.once(ctx, most, wait, do)
		if ctx.Err() != nil {
			return part, context.Cause(ctx) // nobody waits for it any more
		}
		if !errors.Is(err, ErrSlow) {
			return part, err
		}
		most = traffic.Most{Rows: most.Rows / 4, Calls: most.Calls / 4, Callers: most.Callers / 4}
	}
	return Part{}, ErrSlow
}

func (b *Bench) once(ctx context.Context, most traffic.Most, wait time.Duration, do func(replay.Source, Part) error) (Part, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, ErrSlow)
	defer cancel()
	dir := b.Record.Dir()
	extent, err := traffic.Newest(ctx, dir, most)
	part := Part(extent)
	if err != nil || part.From.IsZero() {
		return part, err
	}
	return part, do(func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		return traffic.Walk(dir, part.From, part.To, func(second int64, rows []traffic.Row) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return yield(second, rows)
		})
	}, part)
}
