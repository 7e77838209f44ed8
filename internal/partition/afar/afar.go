// Package afar reads the data of partitions that other servers of a cluster
// hold, as far as answers about all projects need it: counts for the pages, and
// events for watchers. Calls about one project are passed on whole. Projects
// are named by their tokens, because their numbers are each server's own.
package afar

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/control/relay"
	"trackway/internal/partition"
	"trackway/internal/query"
	"trackway/internal/sleep"
)

// Names tells the numbers of projects at this server.
type Names interface {
	Token(project uint32) string
	Number(token string) uint32
}

// Part is a partition that other servers hold. It is safe for concurrent use.
type Part struct {
	part    int
	names   Names
	holders func() []http.RoundTripper

	known atomic.Pointer[told]
	used  atomic.Int64 // when a page needed it last, in Unix seconds
}

// told is what a holder has told.
type told struct {
	state

	at time.Time
}

// New returns the partition with a number. holders returns what carries
// questions to the servers that hold it, the best first.
func New(part int, names Names, holders func() []http.RoundTripper) *Part {
	return &Part{part: part, names: names, holders: holders}
}

// Times.
const (
	answerTime = 3 * time.Second  // for a short answer
	again      = time.Second      // between two questions, while pages need them
	seldom     = 10 * time.Second // otherwise
	stale      = 3 * time.Second  // what was told is no longer true then
	lately     = 30               // seconds
)

// host is the host in the URLs of questions. It means the server to which the
// connection leads.
const host = "holder"

// Run asks how far the holders are, until ctx ends.
func (p *Part) Run(ctx context.Context) error {
	for asked := (time.Time{}); ; {
		if time.Since(asked) >= seldom || time.Now().Unix()-p.used.Load() < lately {
			asked = time.Now()
			p.look(ctx)
		}
		if sleep.For(ctx, again) != nil {
			return nil //nolint:nilerr // its end is asked for
		}
	}
}

func (p *Part) look(ctx context.Context) {
	var s state
	if p.one(ctx, "state", &question{Part: p.part}, &s) == nil {
		p.known.Store(&told{s, time.Now()})
	}
}

// errNobody says that no holder has answered.
var errNobody error = &trackway.Error{
	Code: trackway.Overloaded, Msg: "A part of the data is on other servers, and none of them has answered. Try again.",
}

// ask asks the holders, one after the other, and returns the first answer.
func (p *Part) ask(ctx context.Context, path string, q *question) (io.ReadCloser, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(q); err != nil {
		return nil, err
	}
	failed := errors.New("no server is known to hold it")
	for _, holder := range p.holders() {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+Path+path, bytes.NewReader(b.Bytes()))
		if err != nil {
			return nil, err
		}
		res, err := holder.RoundTrip(r)
		if err == nil && res.StatusCode == http.StatusOK {
			return res.Body, nil
		}
		if err == nil {
			_ = res.Body.Close() // nobody wants it
			err = fmt.Errorf("a server has answered %s", res.Status)
		}
		failed = err
	}
	return nil, fmt.Errorf("partition %s: %w (%w)", partition.Name(p.part), errNobody, failed)
}

// one asks for one short answer.
func (p *Part) one(ctx context.Context, path string, q *question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	body, err := p.ask(ctx, path, q)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was read
	return gob.NewDecoder(body).Decode(answer)
}

// pieces asks for an answer that comes in pieces of a type, and calls do for
// each until it returns false. An answer ends with a piece that do refuses, or
// that says so: a broken one is an error.
func pieces[T any](ctx context.Context, p *Part, path string, q *question, do func(*piece[T]) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := p.ask(ctx, path, q)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // what is left of it is not wanted
	for d := gob.NewDecoder(body); ; {
		next := new(piece[T])
		if err := d.Decode(next); err != nil {
			return fmt.Errorf("partition %s: %w: the answer has no end: %w", partition.Name(p.part), errNobody, err)
		}
		if next.Failed != "" {
			return fmt.Errorf("partition %s: %w: the server that holds it: %s", partition.Name(p.part), errNobody, next.Failed)
		}
		if len(next.All) > 0 && !do(next) || next.End {
			return nil
		}
	}
}

// state returns what is known of the partition, or nil.
func (p *Part) state() *told {
	p.used.Store(time.Now().Unix())
	return p.known.Load()
}

// Version implements [stores.Elsewhere].
func (p *Part) Version(project uint32) (v change.Version) {
	if known := p.state(); known != nil && time.Since(known.at) < stale {
		if v, ok := known.Versions[p.names.Token(project)]; ok {
			return v
		}
	}
	_, _ = rand.Read(v.Origin[:]) // never fails
	return v
}

// Usage implements [query.CountReader].
func (p *Part) Usage(project uint32, yield func(query.Day, query.Usage) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return pieces(ctx, p, "usage", p.about(project), func(some *piece[day]) bool {
		for _, d := range some.All {
			if !yield(d.Day, d.Usage) {
				return false
			}
		}
		return true
	})
}

// Counts implements [query.CountReader].
func (p *Part) Counts(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	q := p.about(project)
	q.Range = r
	return pieces(ctx, p, "counts", q, func(some *piece[query.Count]) bool {
		for _, c := range some.All {
			if !yield(c) {
				return false
			}
		}
		return true
	})
}

// CountedByName implements [query.CountReader].
func (p *Part) CountedByName(project uint32, typ string) bool {
	q := p.about(project)
	q.Range.Type = typ
	var is bool
	err := p.one(context.Background(), "named", q, &is)
	return err == nil && is
}

func (p *Part) about(project uint32) *question {
	return &question{Part: p.part, Project: p.names.Token(project)}
}

// Synced returns the number up to which all changes were durable a moment ago.
// If it is not known, it is higher than all.
func (p *Part) Synced() uint64 {
	if known := p.state(); known != nil {
		return known.Synced
	}
	return math.MaxUint64
}

// Follow iterates over the changes after a number, and waits for more until ctx
// ends. While no holder answers, it waits for one.
func (p *Part) Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		for more := true; more && ctx.Err() == nil; {
			err := pieces(relay.Stream(ctx), p, "follow", &question{Part: p.part, After: after}, func(some *piece[item]) bool {
				after = some.All[len(some.All)-1].Number
				more = yield(p.changes(some.All), nil)
				return more
			})
			if err != nil && sleep.For(ctx, again) != nil {
				return
			}
		}
	}
}

// Changes iterates over the changes between two numbers.
func (p *Part) Changes(after, through uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		more := true
		err := pieces(ctx, p, "changes", &question{Part: p.part, After: after, Through: through}, func(some *piece[item]) bool {
			more = yield(p.changes(some.All), nil)
			return more
		})
		if err != nil && more {
			yield(nil, err)
		}
	}
}

// Back calls do for the events up to a number, newest first, until do returns
// false. If no holder answers, it finds nothing.
func (p *Part) Back(through uint64, do func(*trackway.Event) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	_ = pieces(ctx, p, "back", &question{Part: p.part, Through: through}, func(some *piece[item]) bool {
		for _, c := range p.changes(some.All) {
			if !do(c.Event) {
				return false
			}
		}
		return true
	}) // what it has found is shown
	return nil
}

// Current returns the present customer behind c, with its identifiers. If no
// holder answers, it returns c without any.
func (p *Part) Current(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	q := p.about(project)
	q.Customer = c
	var now current
	if p.one(context.Background(), "current", q, &now) != nil {
		return c, nil, nil //nolint:nilerr // the event is shown without
	}
	return now.Customer, now.IDs, nil
}

// changes returns changes with the numbers that projects have here.
func (p *Part) changes(items []item) []change.Change {
	all := make([]change.Change, len(items))
	for i := range items {
		it := &items[i]
		project := p.names.Number(it.Project)
		if project == 0 {
			project = partition.Global(p.part, partition.MostProjects) // the configuration here has no such project
		}
		all[i] = it.Change
		all[i].Project = project
		if all[i].Event != nil {
			all[i].Event.Project = project
		}
	}
	return all
}
