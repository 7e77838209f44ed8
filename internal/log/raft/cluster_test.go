package raft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/compare"
	"trackway/internal/log/raft/peer"
	"trackway/internal/store"
	"trackway/internal/store/digest"
	"trackway/internal/store/engine"
	"trackway/internal/store/format"
)

const (
	stateDir = "p00/state"
	logDir   = "p00/log"
)

var errKilled = errors.New("the test has killed this server")

// storeMachine is a machine whose state is a store.
type storeMachine struct {
	fs vfs.FS

	mu      sync.Mutex
	changed *sync.Cond // signals that more is applied
	s       *store.Store

	// damages a file of a received state before it is checked; nil: does not
	damage func(name string)
	// counts replaced states
	replaced int
	// counts the states that were sent
	sent atomic.Int32
	// new states take effect when the server is started again
	staged bool
	// changes an entry before it is applied, as a fault of this server would;
	// nil: does not
	twist func(entry.Entry)
}

func openStore(fs vfs.FS) (*storeMachine, error) {
	m := &storeMachine{fs: fs}
	m.changed = sync.NewCond(&m.mu)
	if err := Settle(fs, stateDir); err != nil {
		return nil, err
	}
	return m, m.open()
}

func (m *storeMachine) open() (err error) {
	m.s, err = store.Open(stateDir, store.Options{FS: m.fs, Cache: 1 << 20, Known: 1 << 20, MemTable: 1 << 20, Fatal: func(err error) { panic(err) }})
	return err
}

func (m *storeMachine) replica() store.Replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.Replica()
}

// Apply implements [Machine].
func (m *storeMachine) Apply(index uint64, e entry.Entry) error {
	m.mu.Lock()
	twist := m.twist
	m.mu.Unlock()
	if twist != nil {
		twist(e)
	}
	err := m.replica().Apply(index, e)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed.Broadcast()
	return err
}

// Applied implements [Machine].
func (m *storeMachine) Applied() uint64 { return m.replica().Applied() }

// Sync implements [Machine].
func (m *storeMachine) Sync() error { return m.replica().Sync() }

// Checkpoint implements [Machine].
func (m *storeMachine) Checkpoint(dir string) error {
	m.sent.Add(1)
	return m.replica().Checkpoint(dir)
}

// CheckFile implements [Machine].
func (m *storeMachine) CheckFile(name string) error {
	if m.damage != nil {
		m.damage(name)
	}
	return engine.CheckFile(m.fs, name)
}

// Check implements [Machine].
func (m *storeMachine) Check(dir string) (uint64, error) {
	return store.CheckReplica(m.fs, dir)
}

// Replace implements [Machine].
func (m *storeMachine) Replace(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.staged {
		return errors.Join(Stage(m.fs, stateDir, dir), ErrRestart)
	}
	m.replaced++
	defer m.changed.Broadcast()
	return errors.Join(m.s.Close(), Swap(m.fs, stateDir, dir), m.open())
}

// Keyed implements [Machine].
func (m *storeMachine) Keyed() bool { return m.replica().Keyed() }

// Digests implements [Machine].
func (m *storeMachine) Digests() []digest.Digest { return m.replica().Digests() }

// Adopt implements [Machine].
func (m *storeMachine) Adopt(index uint64, next []byte) { m.replica().Adopt(index, next) }

// setTwist sets twist.
func (m *storeMachine) setTwist(twist func(entry.Entry)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.twist = twist
}

// await returns once an index is applied.
func (m *storeMachine) await(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.s.Replica().Applied() < index {
		m.changed.Wait()
	}
}

// cluster is servers of a test in one process. Each has a file system of its
// own.
type cluster struct {
	t       *testing.T
	o       Options // of each server
	servers []*server
	started int // servers so far

	mu    sync.Mutex
	at    map[string]string      // where the server with an address listens
	cut   map[[2]string]bool     // links that are cut, in one direction
	conns map[net.Conn][2]string // the open connections, from and to
	drops int                    // so many of the next answers to forwarded entries are lost
	mute  map[string]bool        // servers that send and receive nothing, while their connections stay
}

// server is one server of a cluster.
type server struct {
	c       *cluster
	address string
	id      string
	fs      *vfs.MemFS
	machine *storeMachine
	cancel  context.CancelFunc
	ended   chan error
	again   chan struct{} // closed when the server has to be started again
	free    atomic.Uint64 // bytes on its disk; 0: enough
	ahead   atomic.Int64  // its clock, in nanoseconds
	differs atomic.Bool   // it has ended because its state differs

	// mu guards log, which is nil while the server is down, and up, which is
	// closed while it is not.
	mu  sync.Mutex
	log *Log
	up  chan struct{}
}

// newCluster starts servers, the first of which has the others join it.
func newCluster(t *testing.T, n int, o Options) *cluster {
	t.Helper()
	o.Heartbeat, o.patience = cmp.Or(o.Heartbeat, 500*time.Millisecond), cmp.Or(o.patience, time.Minute)
	o.Log = debugLog()
	c := &cluster{t: t, o: o, at: make(map[string]string), cut: make(map[[2]string]bool), conns: make(map[net.Conn][2]string), mute: make(map[string]bool)}
	for range n {
		c.add()
	}
	if err := c.servers[0].log.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	c.register()
	for _, s := range c.servers[1:] {
		c.lead(func(l *Log) error { return l.Add(s.id, s.address, true) })
	}
	c.awaitMembers(n)
	t.Cleanup(func() {
		for _, s := range c.servers {
			s.stop()
		}
	})
	return c
}

// add starts another server.
func (c *cluster) add() *server {
	c.started++
	s := &server{c: c, address: fmt.Sprintf("127.0.0.1:%d", c.started)}
	c.servers = append(c.servers, s)
	s.up = make(chan struct{})
	s.disk()
	s.start()
	return s
}

// disk gives a server an empty disk, with the directory that an installation
// has made there.
func (s *server) disk() {
	s.fs = vfs.NewCrashableMem()
	if err := errors.Join(s.fs.MkdirAll(s.fs.PathDir(stateDir), 0o700), syncDir(s.fs, "")); err != nil {
		s.c.t.Fatal(err)
	}
}

// register registers the project of the tests.
func (c *cluster) register() {
	c.t.Helper()
	e := &entry.Register{Projects: []entry.Registration{{Token: "demo", Hard: []string{"registered"}}}}
	if err := c.servers[0].log.Append(c.t.Context(), e); err != nil || e.Projects[0].Number != 1 {
		c.t.Fatal(err, e)
	}
}

// connect is how a server connects to another one.
func (c *cluster) connect(ctx context.Context, from, to string) (net.Conn, error) {
	c.mu.Lock()
	at, cut := c.at[to], c.cut[[2]string{from, to}]
	c.mu.Unlock()
	if cut || at == "" {
		return nil, errors.New("there is no way to " + to)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[[2]string{from, to}] {
		return nil, errors.Join(errors.New("the way is cut"), conn.Close())
	}
	c.conns[conn] = [2]string{from, to}
	return &lossy{Conn: conn, c: c, ends: [2]string{from, to}}, nil
}

// lossy is a connection that may lose answers.
type lossy struct {
	net.Conn

	c       *cluster
	written bool
	forward bool // it carries entries for the leader
	ends    [2]string
}

// isMute reports whether everything on the connection gets lost.
func (l *lossy) isMute() bool {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.c.mute[l.ends[0]] || l.c.mute[l.ends[1]]
}

// Write implements [net.Conn].
func (l *lossy) Write(b []byte) (int, error) {
	if !l.written {
		l.written, l.forward = true, b[0] == byte(peer.Forward)
	}
	if l.isMute() {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// Read implements [net.Conn].
func (l *lossy) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b) // so the leader has carried out the entry
	for err == nil && l.isMute() {
		n, err = l.Conn.Read(b)
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if err == nil && l.forward && l.c.drops > 0 {
		l.c.drops--
		return 0, errors.Join(errors.New("the answer is lost"), l.Close())
	}
	return n, err
}

// lose has the next answers to forwarded entries get lost.
func (c *cluster) lose(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops = n
}

// silence has a server send and receive nothing, as if its cable was pulled:
// connections do not end. Or it has the server speak again, over new ones.
func (c *cluster) silence(s *server, mute bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute[s.address] = mute
	for conn, of := range c.conns {
		if !mute && (of[0] == s.address || of[1] == s.address) {
			_ = conn.Close() // bytes are missing
			delete(c.conns, conn)
		}
	}
}

// sever cuts off a server from others, or reconnects it.
func (c *cluster) sever(s *server, cut bool, others ...*server) {
	for _, other := range others {
		c.link(s, other, cut)
		c.link(other, s, cut)
	}
}

// oneWay lets a server connect to others no more. They connect to it.
func (c *cluster) oneWay(s *server, others ...*server) {
	for _, other := range others {
		c.link(s, other, true)
	}
}

// link cuts a link, or restores it.
func (c *cluster) link(from, to *server, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	link := [2]string{from.address, to.address}
	c.cut[link] = cut
	for conn, of := range c.conns {
		if cut && of == link {
			_ = conn.Close()
			delete(c.conns, conn)
		}
	}
}

// except returns the servers without one.
func (c *cluster) except(s *server) []*server {
	return slices.DeleteFunc(slices.Clone(c.servers), func(other *server) bool { return other == s })
}

// start starts a server on its files.
func (s *server) start() {
	t := s.c.t
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.c.mu.Lock()
	s.c.at[s.address] = l.Addr().String()
	s.c.mu.Unlock()
	network, err := peer.New(l, peer.Options{Advertise: s.address, Connect: func(ctx context.Context, to string) (net.Conn, error) {
		return s.c.connect(ctx, s.address, to)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if s.machine, err = openStore(s.fs); err != nil {
		t.Fatal(err)
	}
	s.again = make(chan struct{})
	o := s.c.o
	o.FS, o.Dir, o.Network = s.fs, logDir, network
	o.Now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	o.Free = func() (uint64, error) { return cmp.Or(s.free.Load(), 1<<40), nil }
	if o.Log != nil {
		o.Log = o.Log.With("server", s.address)
	}
	o.Fatal = func(err error) {
		switch {
		case errors.Is(err, ErrRestart):
			close(s.again)
		case errors.Is(err, compare.ErrDiffers):
			s.differs.Store(true)
		case !errors.Is(err, errKilled):
			t.Error(s.address, err)
		}
	}
	log, err := Open(s.machine, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- network.Run(ctx) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.id = log, log.ID()
	close(s.up)
}

// running returns the server's log, or nil if it is down.
func (s *server) running() *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log
}

// whenUp returns a channel that is closed once the server runs.
func (s *server) whenUp() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// stop stops a server in an orderly way.
func (s *server) stop() {
	s.mu.Lock()
	log := s.log
	if log == nil {
		s.mu.Unlock()
		return
	}
	s.log, s.up = nil, make(chan struct{})
	s.mu.Unlock()
	if err := log.Close(); err != nil {
		s.c.t.Error(err)
	}
	s.cancel()
	if err := errors.Join(<-s.ended, s.machine.s.Close()); err != nil {
		s.c.t.Error(err)
	}
}

// kill cuts the power of a server. Some of what was not synced is there when
// the server starts again.
func (s *server) kill(random *rand.Rand) {
	others := s.c.except(s)
	s.c.sever(s, true, others...) // so that it promises nothing from now on
	after := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
	s.log.fatal(errKilled)
	s.stop()
	s.fs = after
	s.c.sever(s, false, others...)
}

// leader returns the server that leads, or nil.
func (c *cluster) leader() *server {
	for _, s := range c.servers {
		if log := s.running(); log != nil && log.raft.State() == hraft.Leader {
			return s
		}
	}
	return nil
}

// awaitLeader waits for a server to lead.
func (c *cluster) awaitLeader() *server {
	c.t.Helper()
	for {
		if s := c.leader(); s != nil {
			return s
		}
		for _, s := range c.servers {
			if log := s.running(); log != nil {
				_ = log.await(log.leaders.next(), nil) // for a change, or a moment
				break
			}
		}
	}
}

// lead has the leader do something. A slow machine may cost it its leadership,
// and then the next one does it.
func (c *cluster) lead(do func(*Log) error) {
	c.t.Helper()
	for {
		log := c.awaitLeader().log
		changed := log.leaders.next()
		if do(log) == nil {
			return
		}
		_ = log.await(changed, nil) // for a change, or a moment
	}
}

// visit is an event that can be told from others only by its type.
func visit(name string) *entry.Commands {
	return &entry.Commands{Requests: []entry.Request{{
		Commands: []trackway.Command{{
			Kind: trackway.AddEvent, Project: 1, Type: name, Time: 1, Received: 1,
			IDs: []trackway.Identifier{{Name: "registered", Value: name[:1], Hard: true}},
		}},
		Results: make([]trackway.Result, 1),
	}}}
}

// state returns everything in which the servers have to agree, and how often
// there is an event of each type. The server must be down.
func (s *server) state() (all map[string]string, events map[string]int) {
	t := s.c.t
	t.Helper()
	po := engine.Pebble(engine.Options{FS: s.fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }})
	po.ReadOnly = true
	db, err := pebble.Open(stateDir, po)
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	all, events = make(map[string]string), make(map[string]int)
	for it.First(); it.Valid(); it.Next() {
		key := it.Key()
		if key[0] == format.TableNode || key[0] >= format.ScratchKeys {
			continue
		}
		all[string(key)] = string(it.Value())
		if key[0] == format.TableLog {
			e, err := format.DecodeEvent(1, it.Value())
			if err != nil {
				t.Fatal(err)
			}
			events[e.Type]++
		}
	}
	if err := errors.Join(it.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return all, events
}

// settle waits until all servers have applied the same entries, and stops them.
func (c *cluster) settle() {
	c.t.Helper()
	for _, s := range c.servers {
		s.log.states.Hold() // no digest follows
	}
	if err := c.servers[0].log.Append(c.t.Context(), &entry.Cursor{Name: "last", Number: 1}); err != nil {
		c.t.Fatal(err)
	}
	last := uint64(0)
	for _, s := range c.servers {
		last = max(last, s.machine.Applied())
	}
	for _, s := range c.servers {
		s.machine.await(last)
	}
	for _, s := range c.servers {
		s.stop()
	}
}

// wantEqual checks that the servers, which are down, have equal states. It
// returns how often there is an event of each type.
func (c *cluster) wantEqual() map[string]int {
	c.t.Helper()
	want, events := c.servers[0].state()
	for _, s := range c.servers[1:] {
		got, _ := s.state()
		for key, value := range want {
			if got[key] != value {
				c.t.Errorf("%s: %q is %q, want %q", s.address, key, got[key], value)
				break
			}
		}
		if len(got) != len(want) {
			c.t.Errorf("%s has %d keys, want %d", s.address, len(got), len(want))
		}
	}
	return events
}
