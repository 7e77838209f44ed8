package member

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"trackway/internal/api/passing"
	"trackway/internal/control/relay"
	"trackway/internal/datadir/held"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition"
	"trackway/internal/sleep"
)

// With more servers than copies, a server holds some of the partitions. Those
// that it is a member of are on its disk: which these are, is noted in a file
// (package held), since it must be known before their logs are open. A server
// starts again when that changes. All servers are members of the first
// partition, in which they tell each other what they hold.

// note changes what this server holds. It takes effect at the next start.
func (m *Member) note(change func(*held.List)) error {
	m.listed.Lock()
	defer m.listed.Unlock()
	change(m.held)
	return m.held.Write(m.o.DataDir)
}

// joins reports whether this server has to become a member of the partition.
func (p *Part) joins() bool {
	p.listed.Lock()
	defer p.listed.Unlock()
	return p.held.Joins(p.number)
}

// Serve notes that the server uses the stores of those partitions that have
// what the others have, and returns the numbers of the other ones.
func (m *Member) Serve() (late []int) {
	for _, p := range m.parts {
		if p.number == 0 || p.caughtUp.Load() && !p.joins() {
			p.serves.Store(true)
		} else {
			late = append(late, p.number)
		}
	}
	return late
}

// settle makes this server a member of a partition that it does not serve yet,
// with a vote, and waits until it has what the others have. Then the server
// starts again, to serve it.
func (p *Part) settle(ctx context.Context, log *raft.Log) error {
	caught := make(chan struct{})
	go func() {
		defer close(caught)
		_ = p.catchUp(ctx) // its end is that of ctx
	}()
	defer func() { <-caught }()
	told := ""
	for began := time.Now(); sleep.For(ctx, lookPause) == nil; {
		s := log.Status()
		self := s.Member()
		switch {
		case self == nil && p.joins():
			if err := log.Join(ctx, p.others(), 0); err != nil && err.Error() != told {
				told = err.Error()
				p.logger().Info("this server did not become a member yet", "err", err)
			}
		case self != nil && !self.Voter && s.Leader != "":
			if _, err := log.Promote(ctx, p.others()); err != nil {
				p.logger().Info("this server did not get its vote yet", "err", err)
			}
		case self != nil && self.Voter && p.caughtUp.Load():
			if err := p.note(func(l *held.List) { l.Joined(p.number) }); err != nil {
				return err
			}
			p.logger().Info("this server has what the others have, and starts again to serve it")
			go p.restart() //nolint:gosec,contextcheck // it outlives what has asked for it
			<-ctx.Done()
			return nil
		case (!p.joins() || self != nil && s.Leader == "") && time.Since(began) > 5*p.o.Cluster.Heartbeat:
			// If this server joins, and its log says that it is a member, that
			// may be an old log, of a disk that was not mounted when it joined.
			p.leaveUnlessMember(ctx, log)
			began = time.Now()
		}
	}
	return nil
}

// leaveUnlessMember drops the partition if its leader says that this server is
// no member any more. A member that was removed while it was down learns it in
// no other way.
func (p *Part) leaveUnlessMember(ctx context.Context, log *raft.Log) {
	first := p.parts[0].raft.Load().Status()
	if first.Member() == nil || first.Leader == "" {
		return // this server was removed altogether, or cannot know
	}
	switch err := p.leave(ctx, log); {
	case errors.Is(err, raft.ErrAhead):
		p.logger().Error("the data of a partition stays, and is not used: the cluster was recovered or begun again without it", "err", err)
	case err != nil:
		p.logger().Info("no server leads the partition", "err", err)
	}
}

// leave drops the partition. It is an error if its leader says that this server
// is a member, or does not answer. If this server has lost its log, and with it
// the id under which it was a member, it gets its copy again, under a new one.
func (p *Part) leave(ctx context.Context, log *raft.Log) error {
	is, lost, err := log.Belongs(ctx, p.others())
	switch {
	case err != nil:
		return err
	case is:
		return fmt.Errorf("this server is a member of partition %s", partition.Name(p.number))
	}
	change := (*held.List).Drop
	if lost {
		change = (*held.List).Again
	}
	if err := p.note(func(l *held.List) { change(l, p.number) }); err != nil {
		return err
	}
	if lost {
		p.logger().Warn("the log of a partition is gone, and this server is no member any more: it gets its copy again")
	} else {
		p.logger().Info("this server is no member of the partition any more, and removes its data")
	}
	go p.restart() //nolint:gosec,contextcheck // it outlives what has asked for it
	return nil
}

// others returns the addresses of all other servers.
func (m *Member) others() (all []string) {
	for _, other := range m.parts[0].raft.Load().Status().Members {
		if other.Address != m.o.Cluster.Advertise {
			all = append(all, other.Address)
		}
	}
	return all
}

// claim is what a server tells the others of the partitions that it serves.
type claim struct {
	Address string `json:"address"`
	ID      string `json:"id"` // in the first partition
	Holds   []int  `json:"holds"`
	Leads   []int  `json:"leads"`
}

// tells returns what this server lets the others know. That is an object with
// its claim in it.
func (p *Part) tells() json.RawMessage {
	var about json.RawMessage
	if a := p.address.Load(); a != nil {
		about = *a
	}
	if p.number > 0 || p.o.Partitions == 1 {
		return about
	}
	c := claim{Address: p.o.Cluster.Advertise, Holds: []int{}, Leads: []int{}}
	for _, one := range p.parts {
		log := one.raft.Load()
		if log == nil {
			continue // it is being opened
		}
		if one.number == 0 {
			c.ID = log.ID()
		}
		if one.serves.Load() {
			c.Holds = append(c.Holds, one.number)
			if _, leading := log.Leading(); leading {
				c.Leads = append(c.Leads, one.number)
			}
		}
	}
	said, err := json.Marshal(struct {
		Claim claim `json:"claim"`
	}{c})
	if err != nil || !bytes.HasPrefix(about, []byte(`{"`)) {
		return said
	}
	return append(append(said[:len(said)-1:len(said)-1], ','), about[1:]...)
}

// claims returns what the other servers have told, by their addresses.
func (m *Member) claims() map[string]claim {
	all := make(map[string]claim)
	for _, about := range m.Told() {
		var said struct {
			Claim claim `json:"claim"`
		}
		if json.Unmarshal(about, &said) == nil && said.Claim.ID != "" {
			all[said.Claim.Address] = said.Claim
		}
	}
	return all
}

// Holders implements [passing.Holders]. A server that has known no leader of
// the partition for long, or lacks what the others have, is passed over if
// another one leads it: this one may have been removed, or have trouble in this
// partition only.
func (m *Member) Holders(project uint32) (to []http.RoundTripper, here bool) {
	if m.o.Partitions == 1 {
		return nil, true
	}
	number := partition.Of(project)
	if p := m.Part(number); p != nil && p.serves.Load() {
		if number == 0 || !p.troubled.Load() {
			return nil, true
		}
		to, led := m.holders(number)
		return to, !led
	}
	to, _ = m.holders(number)
	return to, false
}

// HoldersOf returns what carries questions to the holders of a partition, the
// best first.
func (m *Member) HoldersOf(part int) []http.RoundTripper {
	to, _ := m.holders(part)
	return to
}

// holders also reports whether one of them leads the partition. It looks at
// the claims of others now and then only, since each call may need it.
func (m *Member) holders(part int) (to []http.RoundTripper, led bool) {
	m.listed.Lock()
	defer m.listed.Unlock()
	if m.elsewhere == nil {
		m.elsewhere = make(map[int]ranked)
	}
	known := m.elsewhere[part]
	if time.Since(known.at) > lookPause {
		known = ranked{at: time.Now()}
		known.to, known.led = m.rank(part)
		m.elsewhere[part] = known
	}
	return known.to, known.led
}

// ranked is the holders of a partition, as they were at some time.
type ranked struct {
	at  time.Time
	to  []http.RoundTripper
	led bool
}

func (m *Member) rank(part int) (to []http.RoundTripper, led bool) {
	heard := make(map[string]bool)
	for _, other := range m.parts[0].raft.Load().Status().Members {
		heard[other.Address] = other.Heard
	}
	var by [3][]http.RoundTripper // the leader, those that have answered lately, others
	for address, c := range m.claims() {
		rank := 2
		switch {
		case !slices.Contains(c.Holds, part):
			continue
		case heard[address] && slices.Contains(c.Leads, part):
			rank, led = 0, true
		case heard[address]:
			rank = 1
		}
		by[rank] = append(by[rank], m.ways.to(m.network, peerTarget(c.Address, c.ID)))
	}
	return slices.Concat(by[:]...), led
}

func peerTarget(address, id string) peer.Target {
	t, _ := peer.ParseTarget(address + "#" + id) // with a wrong id, it reaches nobody
	return t
}

// ways are what carries requests to other servers. Connections are kept.
type ways struct {
	mu  sync.Mutex
	all map[string]*way
}

// way is the connections to a server. Streams do not take those of calls.
type way struct {
	calls, streams *http.Transport
	address        string // of the server
}

// String returns the address of the server.
func (w *way) String() string { return w.address }

// RoundTrip implements [http.RoundTripper].
func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	if relay.IsStream(r.Context()) {
		return w.streams.RoundTrip(r)
	}
	return w.calls.RoundTrip(r)
}

// Bounds of connections to each server. Those for streams come in addition:
// there are as many as there are streams, whose number is bounded where they
// begin.
const (
	mostConns = 32
	idleConns = 16
	idleTime  = time.Minute
	helloTime = 5 * time.Second
)

// hello is sent by a server that takes requests. One that does not, because it
// is starting or stopping, closes the connection: nothing was carried out.
const hello = 'h'

func (w *ways) to(n *peer.Network, t peer.Target) http.RoundTripper {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.all[t.String()]; known != nil {
		return known
	}
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dial(ctx, n, t)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", passing.ErrNotCarriedOut, err)
		}
		return conn, nil
	}
	made := &way{
		calls: &http.Transport{
			MaxConnsPerHost: mostConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: idleTime, DisableCompression: true, DialContext: connect,
		},
		streams: &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: connect},
		address: t.Address,
	}
	if w.all == nil {
		w.all = make(map[string]*way)
	}
	w.all[t.String()] = made
	return made
}

func dial(ctx context.Context, n *peer.Network, t peer.Target) (net.Conn, error) {
	conn, err := n.Dial(ctx, t, peer.Hold, 0)
	if err != nil {
		return nil, err
	}
	var b [1]byte
	err = conn.SetReadDeadline(time.Now().Add(helloTime))
	if err == nil {
		_, err = conn.Read(b[:])
	}
	if err == nil && b[0] != hello {
		err = fmt.Errorf("%s does not take requests", t.Address)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close() // it was no use
		return nil, err
	}
	return conn, nil
}

// close ends the connections that nobody uses.
func (w *ways) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		one.calls.CloseIdleConnections()
	}
}

// HandleCalls has the connections served by which other servers pass calls on
// to this one, because it holds the data.
func (m *Member) HandleCalls(serve func(net.Conn)) {
	m.network.Handle(peer.Hold, 0, m.parts[0].raft.Load().Self(), func(conn net.Conn) {
		if _, err := conn.Write([]byte{hello}); err == nil {
			serve(conn)
		}
	})
}
