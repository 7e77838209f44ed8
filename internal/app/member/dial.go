package member

import (
	"context"
	"encoding/json"
	"errors"
	"net"

	"trackway/internal/limit/share"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition"
)

// Handle has connections of a kind served, in whichever partition this server
// is meant.
func (m *Member) Handle(kind peer.Kind, serve func(net.Conn)) {
	for _, p := range m.parts {
		m.network.Handle(kind, byte(p.number), p.raft.Load().Self(), serve)
	}
}

// Reasons for not passing on what operators ask.
var (
	errNobodySends = errors.New("no server leads the cluster at the moment, so no destination is sent to: see trackway cluster status")

	// ErrBegins says that the server that leads is not ready for it.
	ErrBegins = errors.New("the server that leads the cluster does not send to destinations yet: try again in a moment")
)

// DialLeader connects to the server that leads the partition, for what
// operators ask.
func (p *Part) DialLeader(ctx context.Context) (net.Conn, error) {
	leader, known := p.raft.Load().Leader()
	switch {
	case !known:
		return nil, errNobodySends
	case leader.ID == p.raft.Load().Self():
		return nil, ErrBegins
	}
	return p.network.Dial(ctx, leader, peer.Operate, byte(p.number))
}

// LedBy returns the server that leads the partition, in another text for each.
func (p *Part) LedBy() string {
	if leader, known := p.raft.Load().Leader(); known {
		return leader.Address
	}
	return "nobody " + partition.Name(p.number)
}

// ID returns this server's id in the first partition, by which the others know
// it when they share limits.
func (m *Member) ID() string { return m.parts[0].raft.Load().ID() }

// Sharing returns the servers that share limits: all members, even those
// without a vote.
func (m *Member) Sharing() []share.Member {
	var all []share.Member
	for _, other := range m.parts[0].raft.Load().Status().Members {
		all = append(all, share.Member{ID: other.ID, Address: other.Address})
	}
	return all
}

// DialShare connects to a member, to borrow calls from it.
func (m *Member) DialShare(ctx context.Context, to share.Member) (net.Conn, error) {
	target, err := peer.ParseTarget(to.Address + "#" + to.ID)
	if err != nil {
		return nil, err
	}
	return m.network.Dial(ctx, target, peer.Lease, 0)
}

// ServeShare has the connections served by which other members borrow calls.
func (m *Member) ServeShare(serve func(net.Conn)) {
	m.network.Handle(peer.Lease, 0, m.parts[0].raft.Load().Self(), serve)
}

// Tell lets the other members know something about this server; nil: nothing.
func (m *Member) Tell(about []byte) { m.address.Store(&about) }

// tells returns what this server lets the others know.
func (m *Member) tells() json.RawMessage {
	if about := m.address.Load(); about != nil {
		return *about
	}
	return nil
}

// Told returns what the other members have let this one know.
func (m *Member) Told() []json.RawMessage { return m.parts[0].raft.Load().Abouts() }
