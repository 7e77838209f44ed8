package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"trackway/internal/config/membership"
	"trackway/internal/datadir"
	"trackway/internal/datadir/held"
	files "trackway/internal/destination/kept"
	"trackway/internal/log/kafka"
	"trackway/internal/log/raft"
	"trackway/internal/partition"
	"trackway/internal/sleep"
)

// Operators change one partition after the other. If that fails in one, the
// others are changed all the same, and they can do it again: what is done
// already stays done.

// all does something in each partition. done is the error where it was done
// before. It is an error only if there was nothing left to do. If first is true
// and it fails in the first partition, nothing is done in the others.
func (m *Member) all(first bool, done error, do func(p *Part) error) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	before := 0
	var failed several
	for _, p := range m.parts {
		switch err := do(p); {
		case err != nil && errors.Is(err, done):
			if before++; before == len(m.parts) {
				return err
			}
		case err != nil && first && p.number == 0:
			return m.of(p, err)
		case err != nil:
			failed = append(failed, m.of(p, err))
		}
	}
	return failed.err()
}

// Init implements [members.Cluster]. It goes on where it was interrupted, but
// not at a member of a cluster with others: these have the partitions of which
// this server is not a member yet. A server that has lost its log, or a whole
// partition, begins no other log: the other servers have it.
func (m *Member) Init() error {
	if first := m.parts[0].raft.Load().Status(); m.o.Cluster.Log == membership.Raft && first.Member() != nil && len(first.Members) > 1 {
		return raft.ErrMember
	}
	for _, p := range m.parts {
		if p.joins() {
			return m.of(p, errJoins)
		}
	}
	if m.knownToPeers() {
		return fmt.Errorf("%w: %s", errLostLog, m.joinAgain())
	}
	return m.all(true, raft.ErrMember, func(p *Part) error {
		log := p.raft.Load()
		if _, is := log.(*kafka.Log); !is || log.Status().Applied == 0 {
			return unlessAgain(log.Bootstrap())
		}
		return beginWith(p.destinations, log.Bootstrap)
	})
}

var (
	errJoins   = errors.New("this server gets it from the other servers: start them")
	errLostLog = errors.New("the servers of cluster.peers have a cluster of this name with a member at this server's address, so its log is lost")
)

// joinAgain says what an operator does with a server that has lost the log of
// the first partition: it has lost the knowledge of who the others are. The
// other servers have everything that is removed, too.
func (m *Member) joinAgain() string {
	return fmt.Sprintf("stop it, remove %s from its data directory, start it, and let it join (trackway cluster join)",
		strings.Join(datadir.Copied(m.o.Partitions), ", "))
}

// knownToPeers reports whether a cluster that the peers belong to has a member
// at the address of this server, which is no member.
func (m *Member) knownToPeers() bool {
	log, is := m.parts[0].raft.Load().(*raft.Log)
	if !is || len(log.Status().Members) > 0 {
		return false
	}
	return log.LostBy(context.Background(), m.o.Cluster.Peers)
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
func (m *Member) Join(ctx context.Context, address string) error {
	addresses := m.o.Cluster.Peers
	if address != "" {
		addresses = []string{address}
	}
	enough := false
	err := m.all(true, raft.ErrMember, func(p *Part) error {
		log, err := p.overRaft()
		if err != nil {
			return err
		}
		most := 0
		if p.number > 0 {
			most = int(p.o.Cluster.Copies)
		}
		switch err := log.Join(ctx, addresses, most); {
		case errors.Is(err, raft.ErrEnough):
			enough = true
			return m.note(func(l *held.List) { l.Drop(p.number) })
		case err != nil:
			return err
		}
		return files.Forsake(p.destinations)
	})
	if err == nil && enough {
		go m.restart() //nolint:gosec,contextcheck // without them; it outlives the request
	}
	return err
}

// Remove implements [members.Cluster]. A server has another id in each
// partition, and the same address. It leaves the first partition last, so that
// it can be found if that has to be repeated: also if another partition has no
// leader now. Over Kafka, one that runs may be
// at the address of another one that has lost its disk: that one stays.
func (m *Member) Remove(ctx context.Context, id string) error {
	first := m.parts[0].raft.Load()
	if m.o.Partitions == 1 {
		return first.Expel(ctx, id)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	address := m.addressOf(id)
	var runs error
	var failed several
	found := false
	if len(m.parts) < m.o.Partitions {
		failed = m.removeElsewhere(ctx, address)
	}
	for _, p := range slices.Backward(m.parts) {
		if p.number == 0 && len(failed) > 0 {
			return failed.err()
		}
		for _, other := range p.raft.Load().Status().Members {
			if other.Address != address {
				continue
			}
			switch err := p.raft.Load().Expel(ctx, other.ID); {
			case errors.Is(err, kafka.ErrRuns):
				runs = m.of(p, err)
			case err != nil:
				failed = append(failed, m.of(p, err))
			default:
				found = true
			}
		}
	}
	if err := failed.err(); err != nil { // in the first one
		return err
	}
	if !found {
		return cmp.Or(runs, fmt.Errorf("no member has the address or id %q", id))
	}
	return nil
}

// addressOf returns the address of the server with an id in any partition, or
// else what was given, which may be an address.
func (m *Member) addressOf(id string) string {
	for _, p := range m.parts {
		for _, other := range p.raft.Load().Status().Members {
			if other.ID == id {
				return other.Address
			}
		}
	}
	return id
}

// Transfer implements [members.Cluster].
func (m *Member) Transfer(ctx context.Context, part int) error {
	if part >= m.o.Partitions {
		return fmt.Errorf("there is no partition %d: they are numbered from 0 to %d", part, m.o.Partitions-1)
	}
	if part >= 0 && m.Part(part) == nil {
		return fmt.Errorf("partition %s is not on this server: ask one that holds it", partition.Name(part))
	}
	return m.all(false, nil, func(p *Part) error {
		if part >= 0 && part != p.number {
			return nil
		}
		log, err := p.overRaft()
		if err != nil {
			return err
		}
		return log.HandOver(ctx, "")
	})
}

// errLed says that a partition needs no recovery.
var errLed = errors.New("each partition on this server has a leader, which most of its members obey, so nothing is recovered: " +
	"remove the members that are lost (trackway cluster remove)")

// leaderTime is how long a leader is looked for, beyond five heartbeats: it may
// be starting again, or about to be elected.
const leaderTime = 5 * time.Second

// Recover implements [members.Cluster]. With several partitions, it leaves
// those alone that have a leader: most of their members are there, although
// most of another one's may be lost.
func (m *Member) Recover() error {
	led := make([]bool, m.o.Partitions)
	if m.o.Partitions > 1 {
		var looking sync.WaitGroup
		for _, p := range m.parts {
			looking.Go(func() { led[p.number] = p.joins() || p.hasLeader() })
		}
		looking.Wait()
	}
	return m.all(false, errLed, func(p *Part) error {
		log, err := p.overRaft()
		if err != nil {
			return err
		}
		if led[p.number] {
			return errLed
		}
		undo, err := files.Renew(p.destinations) // they may have changes that are lost here
		if err != nil {
			return err
		}
		err = unlessAgain(log.Recover())
		if err != nil {
			undo()
		}
		return err
	})
}

// hasLeader waits a while until a server leads the partition, whether or not
// this one is a member.
func (p *Part) hasLeader() bool {
	log, err := p.overRaft()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaderTime+5*p.o.Cluster.Heartbeat)
	defer cancel()
	for {
		if _, _, err := log.Belongs(ctx, p.others()); err == nil || errors.Is(err, raft.ErrAhead) {
			return true
		}
		if sleep.For(ctx, lookPause) != nil {
			return false
		}
	}
}

// unlessAgain returns nil for what only needs another start, which is under
// way.
func unlessAgain(err error) error {
	if errors.Is(err, raft.ErrRestart) {
		return nil
	}
	return err
}
