package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/config/membership"
	"trackway/internal/control/members"
	"trackway/internal/datadir"
	files "trackway/internal/destination/kept"
	"trackway/internal/entry"
	"trackway/internal/log/kafka"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
	"trackway/internal/sleep"
	"trackway/internal/store"
)

// member is this server's part in a cluster: the log, and the connections to
// the other servers.
type member struct {
	cfg membership.Cluster
	log *slog.Logger
	// the directory for the files of destinations
	destinations string
	again        func() // has the server start again, with the state that was put aside

	version string // of the program

	network     *peer.Network
	credentials *peer.Credentials      // nil: plain text
	raft        opened                 // the log
	caughtUp    atomic.Bool            // had what the others had, since this start
	watch       members.Watch          // of the other servers
	address     atomic.Pointer[[]byte] // what the others tell clients of this server; nil: nothing

	stop    context.CancelFunc
	running sync.WaitGroup
}

// openMember opens the store of a member, and the log over it. From then on,
// the server takes part in the cluster.
func (s *server) openMember(ctx context.Context, reg *prometheus.Registry, again func()) error {
	m := &member{cfg: s.Config.Cluster, log: s.Log, again: again, version: s.Version, destinations: filepath.Join(s.Config.DataDir, datadir.Destinations)}
	// First, so that a wrong configuration leaves the data as it is.
	err := m.connect(ctx)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	opened, err := m.openStore(s.Config.DataDir, s.storeOptions(reg)) //nolint:contextcheck // the store works until it is closed
	// Not before the log is open: it would turn others away, and they would not
	// know what became of their entries.
	m.serve(ctx)
	if err != nil {
		m.close()
		return err
	}
	s.useStores(opened)
	s.member = m
	reg.MustRegister(clusterCollector{m})
	return nil
}

// openStore opens the store of a member in a data directory, and the log over
// it.
func (m *member) openStore(dataDir string, o store.Options) (*store.Store, error) {
	dir, err := datadir.Member(dataDir, m.cfg.Log, m.log)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, datadir.State)
	if err := raft.Settle(nil, state); err != nil {
		return nil, fmt.Errorf("put the state of another server in its place: %w", err)
	}
	o.Open = func(r store.Replica) (store.Log, error) {
		log, err := m.openLog(machine{r, state}, dir)
		if err != nil {
			return nil, err
		}
		m.raft.set(log)
		return memberLog{log, m.log}, nil
	}
	return store.Open(state, o)
}

// connect opens the port for the other servers.
func (m *member) connect(ctx context.Context) (err error) {
	t := m.cfg.TLS
	if t.CA != "" {
		if m.credentials, err = peer.Load(t.CA, t.Cert, t.Key, m.log); err != nil {
			return err
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", m.cfg.Listen)
	if err != nil {
		return err
	}
	m.network, err = peer.New(ln, peer.Options{Advertise: m.cfg.Advertise, Credentials: m.credentials, Hosts: m.hosts, Log: m.log})
	return err
}

// serve takes connections of other servers, until close is called.
func (m *member) serve(ctx context.Context) {
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx)) // until the log is closed
	m.running.Go(func() { _ = m.network.Run(ctx) })              // its end is asked for
	if m.credentials != nil {
		m.running.Go(func() { _ = m.credentials.Run(ctx) })
	}
}

// close ends the connections. REQUIRES: the store is closed.
func (m *member) close() {
	m.stop()
	m.running.Wait()
}

// hosts returns the hosts of all servers that may connect.
func (m *member) hosts() []string {
	addresses := append([]string{m.cfg.Advertise}, m.cfg.Peers...)
	if log := m.raft.Load(); log != nil {
		for _, other := range log.Status().Members {
			addresses = append(addresses, other.Address)
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

// fatal implements [raft.Options.Fatal].
func (m *member) fatal(err error) {
	if errors.Is(err, raft.ErrRestart) {
		m.again()
		return
	}
	datadir.Fatal(m.log)(err)
}

// machine is the store as the log sees it.
type machine struct {
	store.Replica

	dir string
}

// Check implements [raft.Machine].
func (machine) Check(dir string) (uint64, error) { return store.CheckReplica(nil, dir) }

// Replace implements [raft.Machine]. Much of the server uses the store's files,
// so the new ones take their place when the server starts again.
func (m machine) Replace(dir string) error {
	if err := raft.Stage(nil, m.dir, dir); err != nil {
		return err
	}
	return raft.ErrRestart
}

// memberLog is the log as the store sees it.
type memberLog struct {
	raft sharedLog
	log  *slog.Logger
}

// Append implements [store.Log].
func (l memberLog) Append(e entry.Entry) error { return l.raft.Append(context.Background(), e) }

// Clean removes erased data from the log's own files.
func (l memberLog) Clean(ctx context.Context) error { return l.raft.Clean(ctx) }

// Close implements [store.Log].
func (l memberLog) Close() {
	if err := l.raft.Close(); err != nil {
		l.log.Error("the log of the cluster was not closed in order", "err", err)
	}
}

// lookPause is how long a member waits before it looks again whether it can go
// on.
const lookPause = 200 * time.Millisecond

// catchUp waits until this server is a member and has everything that was
// acknowledged before, or ctx ends.
func (m *member) catchUp(ctx context.Context) error {
	told := ""
	for {
		err := m.ready()
		if err == nil || errors.Is(err, errBehind) {
			if err = m.raft.Load().Look(ctx); err == nil { // its clock may be wrong
				err = m.raft.Load().CatchUp(ctx)
			}
			if err == nil {
				m.caughtUp.Store(true)
				return nil
			}
		}
		if why := err.Error(); why != told && ctx.Err() == nil {
			m.log.Info("waiting for the cluster", "why", why)
			told = why
		}
		if err := sleep.For(ctx, lookPause); err != nil {
			return err
		}
	}
}

// Reasons for not being ready.
var (
	errNoMember = errors.New("this server is not a member of the cluster yet: see trackway cluster init and trackway cluster join")
	errRemoved  = errors.New("this server is not a member, as far as its log says: it was removed, or is still getting the log")
	errNoLeader = errors.New("no server leads the cluster")
	errBehind   = errors.New("this server does not have what the others have yet")
)

// ready returns why this server should get no requests, or nil.
func (m *member) ready() error {
	s, unfit := m.raft.Load().Status(), m.raft.Load().Unfit()
	if k, is := m.raft.Load().(*kafka.Log); is {
		if err := k.Ready(); err != nil {
			return err
		}
	}
	switch {
	case len(s.Members) == 0:
		return errNoMember
	case s.Member() == nil:
		return errRemoved
	case s.Leader == "" && m.cfg.Log == membership.Raft: // over Kafka, commands need no leader
		return errNoLeader
	case unfit != nil:
		return unfit
	case !m.caughtUp.Load(), m.raft.Load().Behind():
		return errBehind
	}
	return nil
}

// leading reports whether this server leads the cluster.
func (m *member) leading() bool { return m.raft.Load().Status().Leading }

// run asks for this server's vote until it has one, or ctx ends.
func (m *member) run(ctx context.Context) error {
	log, err := m.overRaft()
	if err != nil {
		return nil //nolint:nilerr // there are no votes
	}
	for sleep.For(ctx, lookPause) == nil {
		s := log.Status()
		self := s.Member()
		if self == nil || self.Voter || s.Leader == "" {
			continue
		}
		switch behind, err := log.Promote(ctx, m.cfg.Peers); {
		case err != nil:
			m.log.Info("this server did not get its vote yet", "err", err)
		case !behind:
			m.log.Info("this server has a vote in the cluster")
		}
	}
	return nil
}

// Status implements [members.Cluster].
func (m *member) Status() members.Status {
	s := m.raft.Load().Status()
	c := members.Status{
		Log: m.cfg.Log, Name: m.cfg.Name, ID: s.ID, Address: m.cfg.Advertise, Leader: s.Leader, Leading: s.Leading, Term: s.Term,
		Last: s.Last, Commit: s.Commit, Applied: s.Applied, ContactMS: s.LastContact.Milliseconds(), Members: []members.Member{},
		Starting: !m.caughtUp.Load(),
	}
	if k, is := m.raft.Load().(*kafka.Log); is {
		c.Durability = k.Durability()
	}
	if err := m.ready(); err != nil {
		c.Ready = err.Error()
	}
	for _, other := range s.Members {
		shown := members.Member{ID: other.ID, Address: other.Address, Voter: other.Voter, Unfit: other.Unfit, Differs: other.Differs}
		if other.Heard {
			offset := other.Offset.Milliseconds()
			shown.OffsetMS = &offset
		}
		c.Members = append(c.Members, shown)
	}
	m.watch.Complete(&c, time.Now())
	return c
}

// watching asks the other members how far they are, until ctx ends.
func (m *member) watching(ctx context.Context) error {
	return m.watch.Run(ctx, m.Status, func(ctx context.Context, other *members.Member) (uint64, error) {
		return m.raft.Load().Progress(ctx, other.ID, other.Address)
	})
}

// Init implements [members.Cluster].
func (m *member) Init() error {
	log := m.raft.Load()
	if _, is := log.(*kafka.Log); !is || log.Status().Applied == 0 {
		return unlessAgain(log.Bootstrap())
	}
	return beginWith(m.destinations, log.Bootstrap)
}

// beginWith begins a log with data that may be of another one, the end of which
// it lacks. The folder is that of the destinations.
func beginWith(folder string, bootstrap func() error) error {
	undo, err := files.Renew(folder)
	if err != nil {
		return err
	}
	err = bootstrap()
	if err != nil && !errors.Is(err, raft.ErrUnknown) { // else the log may begin all the same
		undo()
	}
	return err
}

// Join implements [members.Cluster].
func (m *member) Join(ctx context.Context, address string) error {
	addresses := m.cfg.Peers
	if address != "" {
		addresses = []string{address}
	}
	log, err := m.overRaft()
	if err != nil {
		return err
	}
	if err := log.Join(ctx, addresses); err != nil {
		return err
	}
	return files.Forsake(m.destinations)
}

// Remove implements [members.Cluster].
func (m *member) Remove(ctx context.Context, id string) error { return m.raft.Load().Expel(ctx, id) }

// Transfer implements [members.Cluster].
func (m *member) Transfer(ctx context.Context) error {
	log, err := m.overRaft()
	if err != nil {
		return err
	}
	return log.HandOver(ctx)
}

// Recover implements [members.Cluster].
func (m *member) Recover() error {
	log, err := m.overRaft()
	if err != nil {
		return err
	}
	undo, err := files.Renew(m.destinations) // they may have changes that are lost here
	if err != nil {
		return err
	}
	err = unlessAgain(log.Recover())
	if err != nil {
		undo()
	}
	return err
}

// unlessAgain returns nil for what only needs another start, which is under
// way.
func unlessAgain(err error) error {
	if errors.Is(err, raft.ErrRestart) {
		return nil
	}
	return err
}
