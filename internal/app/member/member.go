// Package member is a server's part in a cluster: the logs that it shares with
// others, one for each partition, and the connections to the other servers.
package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trackway/internal/config/membership"
	"trackway/internal/control/members"
	"trackway/internal/control/relay"
	"trackway/internal/datadir"
	"trackway/internal/datadir/held"
	"trackway/internal/log/kafka"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition"
	"trackway/internal/sleep"
	"trackway/internal/store"
)

// Options configures a member. All fields are required.
type Options struct {
	Cluster    membership.Cluster
	DataDir    string
	Partitions int
	Files      uint64 // that each log may open; 0: as many as the process
	Version    string // of the program
	Log        *slog.Logger
	Again      func() // has the server start again, with the states that were put aside
	Store      func(part int) store.Options
	Metrics    func(part int) prometheus.Registerer
}

// Member is this server's part in a cluster.
type Member struct {
	o       Options
	parts   []*Part // that are here, the first one first
	network *peer.Network

	ways      ways       // to the others
	listed    sync.Mutex // guards what follows
	held      *held.List // what this server holds
	elsewhere map[int]ranked

	credentials *peer.Credentials      // nil: plain text
	address     atomic.Pointer[[]byte] // what the others tell clients of this server; nil: nothing

	sending chan struct{} // holds a value while a state is sent to another server

	// changing is held while all partitions are changed, one after the other.
	// The server does not start again meanwhile.
	changing sync.Mutex

	stepping sync.Mutex // held while this server carries out a step of a plan
	turn     turn       // which server does, as the leader of the first partition knows it

	stop    context.CancelFunc
	running sync.WaitGroup
}

// Part is this server's part in a partition: the log of that.
type Part struct {
	*Member

	number       int
	destinations string            // the directory for the files of the partition's destinations
	raft         opened            // the log
	caughtUp     atomic.Bool       // had what the others had, since this start
	serves       atomic.Bool       // the server uses its store
	troubled     atomic.Bool       // others should answer for it, if they can
	watch        members.Watch     // of the other servers
	leader       http.RoundTripper // carries questions to the server that leads
}

// Open opens the stores of a member, and the logs over them. From then on, the
// server takes part in the cluster. A store is nil if other servers hold its
// partition.
func Open(ctx context.Context, o Options) (m *Member, all []*store.Store, err error) {
	m = &Member{o: o, sending: make(chan struct{}, 1)}
	// First, so that a wrong configuration leaves the data as it is. Otherwise,
	// what is noted to be removed, because it is missing, could be there at the
	// next start, and be removed then.
	if err := m.connect(ctx); err != nil {
		return nil, nil, fmt.Errorf("cluster: %w", err)
	}
	if err := m.prepare(); err != nil {
		m.serve(ctx)
		m.Close()
		return nil, nil, err
	}
	all = make([]*store.Store, o.Partitions)
	if err = datadir.Claim(o.DataDir, o.Partitions); err == nil {
		err = m.clear()
	}
	for _, p := range m.parts {
		if err != nil {
			break
		}
		var one *store.Store
		if one, err = p.open(); err != nil { //nolint:contextcheck // the store works until it is closed
			break
		}
		all[p.number] = one
	}
	if err == nil {
		err = datadir.Made(o.DataDir, o.Partitions)
	}
	// Not before the logs are open: it would turn others away, and they would
	// not know what became of their entries.
	m.serve(ctx)
	if err != nil {
		for _, one := range all {
			if one != nil {
				err = errors.Join(err, one.Close())
			}
		}
		m.Close()
		return nil, nil, err
	}
	for _, p := range m.parts {
		o.Metrics(p.number).MustRegister(collector{p})
	}
	return m, all, nil
}

// prepare finds out which partitions this server holds.
func (m *Member) prepare() (err error) {
	o := &m.o
	if o.Cluster.Log == membership.Raft && o.Partitions > 1 {
		gone, err := datadir.Renew(o.DataDir, o.Partitions)
		if err != nil {
			return err
		}
		for _, part := range gone {
			o.Log.Warn("the data of a partition is missing: this server gets its copy again, from the other servers. If it is on a disk of its own, that may not be mounted", "partition", part)
		}
	}
	if err := datadir.Fits(o.DataDir, o.Partitions); err != nil {
		return err
	}
	if o.Cluster.Log == membership.OverKafka { // each server holds all
		if err := held.Whole(o.DataDir, o.Partitions); err != nil {
			return err
		}
	}
	if m.held, err = held.Read(o.DataDir, o.Partitions); err != nil {
		return err
	}
	for i := range o.Partitions {
		if !m.held.Has(i) {
			continue
		}
		p := &Part{Member: m, number: i, destinations: datadir.DestinationsOf(o.DataDir, i, o.Partitions)}
		p.leader = relay.Transport(p.dialForQuestion)
		m.parts = append(m.parts, p)
	}
	return nil
}

// clear removes what this server had of partitions that it has dropped.
func (m *Member) clear() error {
	if err := m.held.Clear(m.o.DataDir, m.o.DataDir, filepath.Join(m.o.DataDir, datadir.Destinations)); err != nil {
		return fmt.Errorf("remove partitions that this server does not hold any more: %w", err)
	}
	return nil
}

// open opens the store of a partition, and the log over it.
func (p *Part) open() (*store.Store, error) {
	dir, err := datadir.Member(p.o.DataDir, p.number, p.o.Partitions, p.o.Cluster.Log, p.o.Log)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, datadir.State)
	if err := raft.Settle(nil, state); err != nil {
		return nil, fmt.Errorf("put the state of another server in its place: %w", err)
	}
	o := p.o.Store(p.number)
	o.Open = func(r store.Replica) (store.Log, error) {
		log, err := p.openLog(machine{r, state}, dir)
		if err != nil {
			return nil, err
		}
		p.raft.set(log)
		return storeLog{log, p.o.Log}, nil
	}
	return store.Open(state, o)
}

// connect opens the port for the other servers.
func (m *Member) connect(ctx context.Context) (err error) {
	t := m.o.Cluster.TLS
	if t.CA != "" {
		if m.credentials, err = peer.Load(t.CA, t.Cert, t.Key, m.o.Log); err != nil {
			return err
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", m.o.Cluster.Listen)
	if err != nil {
		return err
	}
	m.network, err = peer.New(ln, peer.Options{Advertise: m.o.Cluster.Advertise, Credentials: m.credentials, Hosts: m.hosts, Log: m.o.Log})
	return err
}

// serve takes connections of other servers, until Close is called.
func (m *Member) serve(ctx context.Context) {
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx)) // until the logs are closed
	m.running.Go(func() { _ = m.network.Run(ctx) })              // its end is asked for
	if m.credentials != nil {
		m.running.Go(func() { _ = m.credentials.Run(ctx) })
	}
}

// Close ends the connections. REQUIRES: the stores are closed.
func (m *Member) Close() {
	m.ways.close()
	m.stop()
	m.running.Wait()
}

// Parts returns the partitions that are here.
func (m *Member) Parts() []*Part { return m.parts }

// Part returns a partition, or nil if other servers hold it.
func (m *Member) Part(number int) *Part {
	for _, p := range m.parts {
		if p.number == number {
			return p
		}
	}
	return nil
}

// Number returns the number of the partition.
func (p *Part) Number() int { return p.number }

// hosts returns the hosts of all servers that may connect.
func (m *Member) hosts() []string {
	addresses := append([]string{m.o.Cluster.Advertise}, m.o.Cluster.Peers...)
	for _, p := range m.parts {
		if log := p.raft.Load(); log != nil {
			for _, other := range log.Status().Members {
				addresses = append(addresses, other.Address)
			}
		}
	}
	hosts := make([]string, 0, len(addresses))
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// mostWait limits how long a server that has to start again waits for the
// states of other partitions.
const mostWait = 10 * time.Minute

// fatal implements [raft.Options.Fatal]. The server does not start again before
// what changes all partitions has ended, nor while it receives the state of
// another partition: it would have to receive that again.
func (m *Member) fatal(err error) {
	if !errors.Is(err, raft.ErrRestart) {
		datadir.Fatal(m.o.Log)(err)
		return
	}
	go m.restart()
}

// restart has the server start again, once it has received the states that are
// on their way.
func (m *Member) restart() {
	m.changing.Lock()
	defer m.changing.Unlock()
	for end := time.Now().Add(mostWait); m.receiving() && time.Now().Before(end); {
		_ = sleep.For(context.Background(), lookPause) // it never ends early
	}
	m.o.Again()
}

func (m *Member) receiving() bool {
	return slices.ContainsFunc(m.parts, func(p *Part) bool {
		log, is := p.raft.Load().(*raft.Log)
		return is && log.Receiving()
	})
}

// lookPause is how long a member waits before it looks again whether it can go
// on.
const lookPause = 200 * time.Millisecond

// CatchUp waits until this server is a member and has everything that was
// acknowledged before, or ctx ends. It waits a while only for partitions that
// other servers may have, too: those then answer for this one.
func (m *Member) CatchUp(ctx context.Context) error {
	first := make(chan struct{})
	return m.each(ctx, func(p *Part, ctx context.Context) error {
		if p.number == 0 {
			defer close(first)
		}
		if p.number == 0 || p.o.Cluster.Log != membership.Raft {
			return p.catchUp(ctx)
		}
		soon, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-first:
				if p.joins() || sleep.For(soon, lateAfter*p.o.Cluster.Heartbeat) == nil {
					cancel()
				}
			case <-soon.Done():
			}
		}()
		if err := p.catchUp(soon); err != nil && ctx.Err() == nil {
			p.logger().Info("other servers answer for this one in a partition, until it has what they have", "why", p.ready())
		}
		return ctx.Err()
	})
}

// lateAfter is how many heartbeats a server waits for a partition without which
// it can begin.
const lateAfter = 15

// Run asks for this server's votes until it has them, or ctx ends.
func (m *Member) Run(ctx context.Context) error { return m.each(ctx, (*Part).run) }

// Watch asks the other members how far they are, until ctx ends.
func (m *Member) Watch(ctx context.Context) error { return m.each(ctx, (*Part).watching) }

// each does something for all partitions at the same time.
func (m *Member) each(ctx context.Context, do func(*Part, context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range m.parts {
		g.Go(func() error { return do(p, ctx) })
	}
	return g.Wait()
}

func (p *Part) catchUp(ctx context.Context) error {
	told := ""
	for {
		err := p.ready()
		if err == nil || errors.Is(err, errBehind) {
			if err = p.raft.Load().Look(ctx); err == nil { // its clock may be wrong
				err = p.raft.Load().CatchUp(ctx)
			}
			if err == nil {
				p.caughtUp.Store(true)
				return nil
			}
		}
		if why := err.Error(); why != told && ctx.Err() == nil {
			p.logger().Info("waiting for the cluster", "why", why)
			told = why
		}
		if err := sleep.For(ctx, lookPause); err != nil {
			return err
		}
	}
}

// logger returns what logs messages of a partition.
func (p *Part) logger() *slog.Logger {
	if p.o.Partitions == 1 {
		return p.o.Log
	}
	return p.o.Log.With("partition", p.number)
}

// Reasons for not being ready.
var (
	errNoMember = errors.New("this server is not a member of the cluster yet: see trackway cluster init and trackway cluster join")
	errNoLog    = fmt.Errorf("%w. It has data, so if it was a member before, its log is lost", errNoMember)
	errRemoved  = errors.New("this server is not a member, as far as its log says: it was removed, or is still getting the log")
	errNoLeader = errors.New("no server leads the cluster")
	errBehind   = errors.New("this server does not have what the others have yet")
)

func (p *Part) ready() error {
	log := p.raft.Load()
	s, unfit := log.Status(), log.Unfit()
	if k, is := log.(*kafka.Log); is {
		if err := k.Ready(); err != nil {
			return err
		}
	}
	switch {
	case len(s.Members) == 0 && s.Applied > 0:
		return fmt.Errorf("%w: %s", errNoLog, p.joinAgain())
	case len(s.Members) == 0:
		return errNoMember
	case s.Member() == nil:
		return errRemoved
	case unfit != nil: // also before it has handed leadership over
		return unfit
	case s.Leader == "" && p.o.Cluster.Log == membership.Raft: // over Kafka, commands need no leader
		return errNoLeader
	case !p.caughtUp.Load(), log.Behind():
		return errBehind
	}
	return nil
}

// Leading reports whether this server leads the partition, and in which term.
func (p *Part) Leading() (term uint64, leading bool) { return p.raft.Load().Leading() }

// Leads reports whether this server leads the partition, and its clock is
// right.
func (p *Part) Leads() bool {
	log := p.raft.Load()
	return log.Status().Leading && !log.Skewed()
}

// Leads reports whether this server leads the cluster: its first partition.
func (m *Member) Leads() bool { return m.parts[0].raft.Load().Status().Leading }

// LeadsOf reports whether this server leads the partition of a project.
func (m *Member) LeadsOf(project uint32) bool {
	if m.o.Partitions == 1 {
		return m.Leads()
	}
	p := m.Part(partition.Of(project))
	return p != nil && p.serves.Load() && p.raft.Load().Status().Leading
}

// AwaitOwn waits until this server has applied what it has acknowledged, or ctx
// ends. Of several partitions, it does not wait for one that gets nothing for
// now, because it has no leader.
func (m *Member) AwaitOwn(ctx context.Context) {
	for _, p := range m.parts {
		log := p.raft.Load()
		if !log.HasOwn() && (len(m.parts) == 1 || p.grows()) {
			log.Reach(ctx, 0)
		}
	}
}

// grows reports whether this server gets entries of the partition. Over Kafka,
// it does so without a leader.
func (p *Part) grows() bool {
	_, led := p.raft.Load().Leader()
	return led || p.o.Cluster.Log != membership.Raft
}

// inTrouble reports whether others should answer for this server, if they can.
// An election is waited for here, as long as commands wait: what others have
// told of their leaders is older.
func (p *Part) inTrouble(leaderless time.Duration) bool {
	err := p.ready()
	return err != nil && (!errors.Is(err, errNoLeader) || leaderless > 5*p.o.Cluster.Heartbeat)
}

// run asks for this server's vote until it has one, or ctx ends.
func (p *Part) run(ctx context.Context) error {
	log, err := p.overRaft()
	if err != nil {
		return nil // there are no votes
	}
	defer log.Stopping() // ctx ends with the server
	if !p.serves.Load() {
		return p.settle(ctx, log)
	}
	lost := time.Now()  // when a leader was known last, or it was asked for
	heard := time.Now() // when one was known last
	for sleep.For(ctx, lookPause) == nil {
		s := log.Status()
		self := s.Member()
		if s.Leader != "" {
			lost, heard = time.Now(), time.Now()
		}
		p.troubled.Store(p.inTrouble(time.Since(heard)))
		if p.number > 0 && time.Since(lost) > 5*p.o.Cluster.Heartbeat {
			p.leaveUnlessMember(ctx, log)
			lost = time.Now() // before it is asked again
		}
		if self == nil || self.Voter || s.Leader == "" {
			continue
		}
		switch behind, err := log.Promote(ctx, p.o.Cluster.Peers); {
		case err != nil:
			p.logger().Info("this server did not get its vote yet", "err", err)
		case !behind:
			p.logger().Info("this server has a vote in the cluster")
		}
	}
	return nil
}
