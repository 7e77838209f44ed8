package suspect

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/query"
)

// Ingester stores commands, as that of package ingest does.
type Ingester interface {
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Labeler has suspect customers labeled, and counts them.
type Labeler struct {
	memory  atomic.Pointer[Memory] // nil until a project wants labels
	waiting chan label
	counts  counts
	store   Ingester
	reads   query.Store
	log     *slog.Logger
	lost    prometheus.Counter
	stored  *prometheus.CounterVec
}

// label is a label that has to be stored.
type label struct {
	project *trackway.Project
	who     uint64
	why     Reason
	at      trackway.Micros

	// customer is the one of the event, and id the identifier that led to it.
	// Others of the event could join or move customers if they came again.
	customer trackway.Customer
	id       trackway.Identifier
}

// mostWaiting is how many labels wait to be stored. While there are so many,
// others are left out, and tried again at the customer's next event.
const mostWaiting = 1024

// lastStores is how long the labels that wait at a stop are stored.
const lastStores = 5 * time.Second

// New returns a labeler that stores labels through an ingester, for customers
// that a store has.
func New(store Ingester, reads query.Store, log *slog.Logger, reg prometheus.Registerer) *Labeler {
	l := &Labeler{
		waiting: make(chan label, mostWaiting), store: store, reads: reads, log: log,
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trackway_suspect_labels_left_out_total", Help: "Labels of suspect customers that were not stored, because too many waited or the store failed.",
		}),
		stored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trackway_suspect_labels_total", Help: "Customers that were labeled as suspect, by project and reason.",
		}, []string{"project", "reason"}),
	}
	reg.MustRegister(l.lost, l.stored)
	return l
}

// Origin is where a call came from.
type Origin struct {
	Address netip.Addr
	Agent   string
}

// Ingest returns an ingester that also looks at what it stores. It returns the
// given one if the project has nobody labeled, or the key is not public.
func (l *Labeler) Ingest(in Ingester, p *trackway.Project, key *trackway.Key, from Origin) Ingester {
	if p == nil || p.Bots.Property == "" || key != nil && key.Kind != trackway.PublicKey {
		return in
	}
	return looking{in, l, from}
}

type looking struct {
	Ingester

	labeler *Labeler
	from    Origin
}

// Accept implements [Ingester].
func (in looking) Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	err := in.Ingester.Accept(p, at, cmds, results)
	if err == nil {
		in.labeler.look(p, at, in.from, cmds, results)
	}
	return err
}

// look looks at the events of a call that were stored.
func (l *Labeler) look(p *trackway.Project, at trackway.Micros, from Origin, cmds []trackway.Command, results []trackway.Result) {
	m := l.memory.Load()
	if m == nil {
		l.memory.CompareAndSwap(nil, NewMemory())
		m = l.memory.Load()
	}
	robot := Robot(from.Agent)
	caller := m.Caller(p.Number, from.Address, from.Agent)
	for i := range cmds {
		c := &cmds[i]
		if c.Kind != trackway.AddEvent || results[i].Err != nil || results[i].Duplicate {
			continue
		}
		if len(c.IDs) == 0 {
			continue
		}
		v := Visit{At: at, Caller: caller, Robot: robot != "", Who: m.Name(p.Number, c.IDs), Content: m.Content(c)}
		why, first := m.See(&p.Bots, v)
		l.counts.add(p.Number, at, why, first, robot)
		if !first {
			continue
		}
		id := leading(c.IDs).Clone()
		select {
		case l.waiting <- label{p, v.Who, why, at, results[i].Customer, id}:
		default:
			l.lost.Inc()
			m.Unlabeled(v.Who)
		}
	}
}

// Run stores labels until ctx ends, and then those that still wait.
func (l *Labeler) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			l.finish(time.Now().Add(lastStores))
			return nil
		case one := <-l.waiting:
			l.save(one)
		}
	}
}

// finish stores the labels that wait. After some time, it leaves the rest out:
// in a cluster without a majority, each may take long.
func (l *Labeler) finish(until time.Time) {
	for {
		select {
		case one := <-l.waiting:
			if time.Now().After(until) {
				l.lost.Inc()
				continue
			}
			l.save(one)
		default:
			return
		}
	}
}

// save stores a label, unless its identifier does not lead to the customer any
// more: after an erasure, a label must not bring anybody back.
func (l *Labeler) save(one label) {
	there, err := l.there(&one)
	if err == nil && !there {
		l.memory.Load().Unlabeled(one.who)
		return
	}
	value, _ := json.Marshal(one.why) // a string never fails
	cmds := []trackway.Command{{
		Kind: trackway.UpdateCustomer, IDs: []trackway.Identifier{one.id}, Time: one.at, Received: one.at,
		Properties: []trackway.Property{{Name: one.project.Bots.Property, Value: value}}, Bytes: len(one.project.Bots.Property) + len(value),
	}}
	results := make([]trackway.Result, 1)
	if err == nil {
		err = l.store.Accept(one.project, trackway.MicrosOf(time.Now()), cmds, results)
	}
	if err == nil && results[0].Err == nil {
		l.stored.WithLabelValues(one.project.Name, string(one.why)).Inc()
		return
	}
	l.lost.Inc()
	if err != nil { // a customer that can have no more properties stays as it is
		l.memory.Load().Unlabeled(one.who)
		l.log.Warn("a suspect customer was not labeled", "project", one.project.Name, "err", err)
	}
}

// there reports whether the identifier of a label leads to its customer.
func (l *Labeler) there(one *label) (_ bool, err error) {
	s := l.reads.Snapshot()
	defer func() { err = errors.Join(err, s.Close()) }()
	now, err := s.Find(one.project.Number, one.id)
	if err != nil || now == 0 {
		return false, err
	}
	then, err := s.Survivor(one.project.Number, one.customer)
	return now == then, err
}
