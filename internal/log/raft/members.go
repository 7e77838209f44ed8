package raft

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"

	"trackway/internal/entry"
	"trackway/internal/log/health"
	"trackway/internal/log/raft/logstore"
	"trackway/internal/log/raft/peer"
	"trackway/internal/sleep"
)

// Errors of the changes of members.
var (
	// ErrMember says that this server is a member of a cluster already.
	ErrMember = errors.New("this server is a member of a cluster already")

	// ErrOccupied says that this server holds data, which joining would
	// replace.
	ErrOccupied = errors.New("this server holds data of its own: only a server with an empty data directory can join")

	// ErrEnough says that there are as many members as there should be.
	ErrEnough = errors.New("there are enough members already")

	// ErrAhead says that this server has more than a leader that does not know
	// it as a member: the two belong to different clusters.
	ErrAhead = errors.New("this server is no member any more, as the leader says, but it has entries that the leader lacks: its data stays")

	// ErrRestart is [health.ErrRestart].
	ErrRestart = health.ErrRestart
)

var errLeading = errors.New("this server leads the cluster: remove the lost members instead")

// Member is a server of the cluster.
type Member struct {
	ID      string
	Address string // host:port
	Voter   bool

	Heard   bool          // it has answered this server lately, which says what follows
	Offset  time.Duration // its clock less that of this server; 0 for this server
	Unfit   string        // why it takes no commands; empty: it does
	Differs uint64        // the digest in which its state differs from that of most servers; 0: none
}

// Status is what a server knows of its cluster.
type Status struct {
	ID          string
	Leader      string // host:port of the leader; empty: none is known
	Leading     bool   // this server is the leader
	Term        uint64
	Last        uint64        // index of the last entry in this server's log
	Commit      uint64        // index of the last entry that is known to be on most servers
	Applied     uint64        // index of the last entry in this server's state
	LastContact time.Duration // since the leader was heard last; 0 at the leader
	Members     []Member      // empty: this server is not a member
}

// Member returns this server as a member, or nil if it is not one.
func (s *Status) Member() *Member {
	for i := range s.Members {
		if s.Members[i].ID == s.ID {
			return &s.Members[i]
		}
	}
	return nil
}

// Status returns what this server knows. It does not ask others.
func (l *Log) Status() Status {
	address, _ := l.raft.LeaderWithID()
	s := Status{
		ID: l.ID(), Leader: hostPort(address), Leading: l.raft.State() == hraft.Leader, Term: l.raft.CurrentTerm(),
		Last: l.raft.LastIndex(), Commit: l.raft.CommitIndex(), Applied: l.progress.Reached(),
	}
	if contact := l.raft.LastContact(); !s.Leading && !contact.IsZero() {
		s.LastContact = time.Since(contact)
	}
	s.Members = l.members()
	for i := range s.Members {
		l.describe(&s.Members[i])
	}
	return s
}

// describe adds what this server has learned of a member.
func (l *Log) describe(m *Member) {
	m.Differs = l.states.Differs(m.ID)
	if m.ID == l.ID() {
		m.Heard = true
		if why := l.Unfit(); why != nil {
			m.Unfit = why.Error()
		}
		return
	}
	if known, ok := l.others.get(m.ID); ok && time.Since(known.heard) < 3*l.o.askEach {
		m.Heard, m.Offset, m.Unfit = true, known.offset, known.Unfit
	}
}

func (l *Log) members() (all []Member) {
	f := l.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	for _, m := range f.Configuration().Servers {
		all = append(all, Member{ID: string(m.ID), Address: hostPort(m.Address), Voter: m.Suffrage == hraft.Voter})
	}
	return all
}

// hostPort returns an address without the id of the server there.
func hostPort(a hraft.ServerAddress) string {
	address, _, _ := strings.Cut(string(a), "#")
	return address
}

// CatchUp returns once this server has applied everything that was acknowledged
// before the call, by any server. Errors are those of [Log.Append], above all
// if there is no leader.
func (l *Log) CatchUp(ctx context.Context) error {
	return l.Append(ctx, new(entry.Register)) // registers nothing
}

// Clean removes from the files of this server's log everything that was applied
// before the call, by appending something that it can keep. It waits a while
// until the others have these entries, too: a server that lacks them gets the
// whole state, and starts again with it.
func (l *Log) Clean(ctx context.Context) error {
	end, ok := l.begin()
	if !ok {
		return ErrClosed
	}
	defer end()
	through := l.progress.Reached()
	if err := l.CatchUp(ctx); err != nil {
		return err
	}
	l.awaitOthers(ctx, through)
	if err := l.raft.Snapshot().Error(); err != nil && !errors.Is(err, hraft.ErrNothingNewToSnapshot) {
		return err
	}
	return l.store.Clean(ctx, through)
}

// othersTime limits how long a server waits for members that are down or far
// behind.
const othersTime = 10 * time.Second

// awaitOthers waits until the other members have applied an entry, ctx ends, or
// it has waited for long.
func (l *Log) awaitOthers(ctx context.Context, index uint64) {
	const pause = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, othersTime)
	defer cancel()
	for _, address := range l.addresses() {
		for address != l.o.Network.Advertise() {
			got, err := l.askAt(ctx, change{Cluster: l.o.Name, Do: "progress"}, address)
			if err == nil && got.Index >= index || sleep.For(ctx, pause) != nil {
				break
			}
		}
	}
}

// Leading reports whether this server leads, and in which term.
func (l *Log) Leading() (term uint64, leading bool) {
	return l.raft.CurrentTerm(), l.raft.State() == hraft.Leader
}

// Self returns the id of this server.
func (l *Log) Self() peer.ID { return l.origin }

// Leader returns the server that leads, as far as this one knows.
func (l *Log) Leader() (t peer.Target, known bool) {
	address, _ := l.raft.LeaderWithID()
	t, err := peer.ParseTarget(string(address))
	return t, err == nil
}

// admit makes a server a member without a vote. If the address belonged to
// another server, that one's disk is gone, and it is removed first. If that one
// still answers there, the new server has a wrong address. A server that cannot
// read the entries of the cluster is refused.
func (l *Log) admit(c change) error {
	if err := l.admits(&c); err != nil {
		return err
	}
	for _, m := range l.members() {
		switch {
		case m.ID == c.ID:
			return nil
		case m.Address == c.Address:
			if l.isAt(m) {
				return fmt.Errorf("member %s answers at %s: give this server an address of its own (cluster.advertise)", m.ID, m.Address)
			}
			if err := l.Remove(m.ID); err != nil {
				return fmt.Errorf("remove the server that was at %s before: %w", c.Address, err)
			}
		}
	}
	if c.Most > 0 && len(l.members()) >= c.Most {
		return ErrEnough
	}
	return l.Add(c.ID, c.Address, false)
}

// release removes a member, unless fewer others than least would keep a vote.
// Two removals at once are counted one after the other.
func (l *Log) release(id string, least int) error {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	left := 0
	for _, m := range l.members() {
		if m.Voter && m.ID != id {
			left++
		}
	}
	if left < least {
		return fmt.Errorf("%d members with a vote would be left, and there should be %d", left, least)
	}
	return l.Remove(id)
}

// lost reports whether the server that asks is no member, although its address
// is that of one. That one's log is gone, then: it does not answer any more.
func (l *Log) lost(c change) bool {
	if l.member(c.ID) != nil {
		return false
	}
	for _, m := range l.members() {
		if m.Address == c.Address {
			return !l.isAt(m)
		}
	}
	return false
}

// member returns the member with an id, or nil.
func (l *Log) member(id string) *Member {
	for _, m := range l.members() {
		if m.ID == id {
			return &m
		}
	}
	return nil
}

// isAt reports whether a member answers at its address.
func (l *Log) isAt(m Member) bool {
	if m.ID == l.ID() {
		return true
	}
	s := l.standingAt(m.Address)
	return s != nil && s.ID == m.ID
}

// Join makes this server a member of the cluster that servers at addresses
// belong to. It has no vote yet, see [Log.Promote]. A server whose disk was
// emptied takes the place of the one that was at its address. If there are as
// many others as most, which is not 0, the error is [ErrEnough].
func (l *Log) Join(ctx context.Context, addresses []string, most int) error {
	if s := l.Status(); s.Member() != nil {
		return ErrMember
	}
	if l.progress.Reached() > 0 {
		return ErrOccupied
	}
	got, err := l.ask(ctx, change{
		Do: "add", ID: l.ID(), Address: l.o.Network.Advertise(), Most: most, Entries: reads, Version: l.o.Version,
	}, addresses)
	if err == nil && got.Enough {
		return ErrEnough
	}
	return err
}

// Belongs reports whether this server is a member, as the leader says. It also
// asks servers at addresses for the leader. A server that was removed while it
// was down learns it in no other way. If this server is no member, lost says
// that it was one, under an id that it has lost together with its log. If it is
// not a member, and the leader lacks something that this server has applied,
// the error is [ErrAhead].
func (l *Log) Belongs(ctx context.Context, addresses []string) (is, lost bool, err error) {
	got, err := l.ask(ctx, change{Do: "knows", ID: l.ID(), Address: l.o.Network.Advertise()}, append(l.addresses(), addresses...))
	if err == nil && !got.Known && got.Index < l.progress.Reached() {
		err = ErrAhead
	}
	return got.Known, got.Lost, err
}

// lostTime limits how long a server is asked whether this one was a member.
const lostTime = 5 * time.Second

// LostBy reports whether servers at addresses have a cluster in which this
// server was a member, under an id that it has lost together with its log. All
// are asked at once, so one that does not answer hides nobody.
func (l *Log) LostBy(ctx context.Context, addresses []string) bool {
	ctx, cancel := context.WithTimeout(ctx, lostTime)
	defer cancel()
	answers := make(chan bool, len(addresses))
	for _, address := range addresses {
		go func() {
			_, lost, _ := l.Belongs(ctx, []string{address}) // an error: it has no cluster
			answers <- lost
		}()
	}
	for range addresses {
		if <-answers {
			return true
		}
	}
	return false
}

// Promote asks for a vote. It reports whether this server is too far behind for
// one.
func (l *Log) Promote(ctx context.Context, addresses []string) (behind bool, err error) {
	got, err := l.ask(ctx, change{
		Do: "promote", ID: l.ID(), Address: l.o.Network.Advertise(), Applied: l.progress.Reached(),
	}, addresses)
	return got.Behind, err
}

// Expel removes a member, which may be down. Any server can ask for it.
func (l *Log) Expel(ctx context.Context, id string) error {
	_, err := l.ask(ctx, change{Do: "remove", ID: id}, l.addresses())
	return err
}

// Release is Expel, unless fewer other members than least would keep a vote.
func (l *Log) Release(ctx context.Context, id string, least int) error {
	_, err := l.ask(ctx, change{Do: "remove", ID: id, Least: least}, l.addresses())
	return err
}

// HandOver makes the leader hand leadership over to a member, or, without an
// id, to any that has a vote.
func (l *Log) HandOver(ctx context.Context, id string) error {
	_, err := l.ask(ctx, change{Do: "transfer", ID: id}, l.addresses())
	return err
}

func (l *Log) addresses() (all []string) {
	for _, m := range l.members() {
		all = append(all, m.Address)
	}
	return all
}

// Bootstrap begins a new cluster, with this server as its only member. If the
// state holds something already, the log begins after it, and the error is
// [ErrRestart]: the log works once it was opened again.
func (l *Log) Bootstrap() error {
	if s := l.Status(); s.Member() != nil || s.Last > 0 {
		return ErrMember
	}
	if l.machine.Applied() == 0 {
		return l.raft.BootstrapCluster(l.alone()).Error()
	}
	if err := l.machine.Sync(); err != nil {
		return err
	}
	l.fatal(ErrRestart)
	const term = 1 // nobody has led before
	return l.begins(l.machine.Applied(), term)
}

// alone is the configuration with this server as the only member.
func (l *Log) alone() hraft.Configuration {
	return hraft.Configuration{Servers: []hraft.Server{{ID: hraft.ServerID(l.ID()), Address: l.transport.LocalAddr()}}}
}

// begins notes that the state covers everything up to an index, and that this
// server is the only member. It returns [ErrRestart] if that has worked.
func (l *Log) begins(index, term uint64) error {
	at := logstore.Snapshot{Index: index, Term: term, Configuration: l.alone(), ConfigurationIndex: index}
	if err := l.store.Install(at); err != nil {
		return err
	}
	return ErrRestart
}

// Recover makes this server the only member, after most members were lost for
// good. It applies what its log has, whether or not the others have agreed to
// it. The error is [ErrRestart] if that has worked. The lost members must not
// come back with their old files.
func (l *Log) Recover() error {
	if l.raft.State() == hraft.Leader {
		return errLeading
	}
	s := l.Status()
	if s.Member() == nil {
		return errors.New("this server is not a member of a cluster")
	}
	if s.Applied == 0 {
		return errors.New("this server holds nothing that could be recovered: begin another cluster")
	}
	if err := l.raft.Shutdown().Error(); err != nil {
		return err
	}
	l.fatal(ErrRestart)
	last, err := l.store.LastIndex()
	if err != nil {
		return err
	}
	for index := l.machine.Applied() + 1; index <= last; index++ {
		var e hraft.Log
		if err := l.store.GetLog(index, &e); err != nil {
			return err
		}
		if e.Type != hraft.LogCommand {
			continue
		}
		if _, err := (&fsm{l}).apply(&e); err != nil {
			return err
		}
	}
	if err := l.machine.Sync(); err != nil {
		return err
	}
	// The rest of the log says who the members were.
	applied := l.machine.Applied()
	if last > applied {
		if err := l.store.DeleteRange(applied+1, last); err != nil {
			return err
		}
	}
	return l.begins(applied, s.Term)
}
