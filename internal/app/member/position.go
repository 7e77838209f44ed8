package member

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/api/position"
	"trackway/internal/ask"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition"
	"trackway/internal/sleep"
)

// Of returns the partition that has a project, as readers see it, or nil if
// that is not known. Numbers of projects say it if there are several.
func (m *Member) Of(project uint32) position.Log {
	if m.o.Partitions == 1 {
		return m.parts[0]
	}
	if project != 0 {
		if p := m.Part(partition.Of(project)); p != nil && p.serves.Load() {
			return p
		}
	}
	return nil
}

// A position is the number of a partition, a dot, and the index of an entry in
// its log. A reader may name one of each partition, with commas between them.

// Position implements [position.Log].
func (p *Part) Position() string {
	return strconv.Itoa(p.number) + "." + strconv.FormatUint(p.raft.Load().Position(), 10)
}

// Current implements [position.Log]. Without a leader, or if its disk is full,
// this server gets nothing more, and reads go on with what it has.
func (p *Part) Current() bool {
	log := p.raft.Load()
	if log.HasOwn() || log.Full() {
		return true
	}
	known := log.Status()
	return known.Leader == "" && known.Member() != nil
}

// ReadTime limits how long a reader waits before this server asks the leader,
// or answers with what it has.
const ReadTime = time.Second

// errNotReached says that nobody else can answer, either. It is not
// [position.ErrBehind], so nothing more is tried.
var errNotReached error = &trackway.Error{Code: trackway.Overloaded, Msg: "This server does not have what the others have at the moment. Try again."}

var errPosition = ask.Invalid(position.Header, "what a server of this cluster has sent")

// index returns the index in the log of this partition that a position names,
// or 0 if it names only others.
func (p *Part) index(at string) (index uint64, err error) {
	for one := range strings.SplitSeq(at, ",") {
		number, rest, _ := strings.Cut(strings.TrimSpace(one), ".")
		part, wrong := strconv.ParseUint(number, 10, 8)
		i, err := strconv.ParseUint(rest, 10, 64)
		if wrong != nil || err != nil || part >= uint64(p.o.Partitions) {
			return 0, errPosition
		}
		if int(part) == p.number {
			index = max(index, i)
		}
	}
	return index, nil
}

// Reach implements [position.Log]. The leader tells whether there is such a
// position.
func (p *Part) Reach(ctx context.Context, at string, latest bool) (err error) {
	log := p.raft.Load()
	index := uint64(0)
	if at != "" {
		if index, err = p.index(at); err != nil {
			return err
		}
	}
	if !latest {
		soon, cancel := context.WithTimeout(ctx, ReadTime)
		reached := log.Reach(soon, index)
		cancel()
		if reached {
			return nil
		}
	}
	leader, known := log.Leader()
	canPass := known && leader.ID != log.Self() && !position.Stays(ctx)
	if canPass && !latest {
		return position.ErrBehind
	}
	ctx, cancel := context.WithTimeout(ctx, 5*p.o.Cluster.Heartbeat) // as long as writers wait
	defer cancel()
	last, err := log.Latest(ctx)
	if canPass { // the leader has it sooner
		ctx, cancel = context.WithTimeout(ctx, ReadTime)
		defer cancel()
	}
	switch {
	case err != nil:
		return errNotReached
	case index > last:
		return errPosition
	case log.Reach(ctx, last):
		return nil
	case canPass:
		return position.ErrBehind
	}
	return errNotReached
}

// Latest waits until this server has everything that any server has
// acknowledged in a partition that it holds. It waits for an election, as long
// as writers do. An error means that no server leads the partition, or that
// this one does not get the rest.
func (m *Member) Latest(ctx context.Context, part int) error {
	p := m.Part(part)
	if p == nil {
		return errNotReached // it has been taken from this server
	}
	for began := time.Now(); ; {
		err := p.Reach(position.Stay(ctx), "", true)
		if err == nil || time.Since(began) > 5*p.o.Cluster.Heartbeat || sleep.For(ctx, lookPause) != nil {
			return err
		}
	}
}

// Leader implements [position.Log].
func (p *Part) Leader() http.RoundTripper { return p.leader }

// dialForQuestion connects to the server that leads the partition.
func (p *Part) dialForQuestion(ctx context.Context) (net.Conn, error) {
	log := p.raft.Load()
	leader, known := log.Leader()
	if !known || leader.ID == log.Self() {
		return nil, position.ErrBehind
	}
	return p.network.Dial(ctx, leader, peer.Question, byte(p.number))
}
