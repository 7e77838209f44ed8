package raft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Errors of [Log.Transfer].
var (
	errHanding  = errors.New("leadership is being handed over already")
	errNoHeir   = errors.New("no other member has a vote")
	errSlowHeir = errors.New("the other server does not get all entries in time")
	errNotHeir  = errors.New("the other server has not become the leader in time")
)

// handPause is how long a server that hands leadership over waits before it
// looks again.
const handPause = 2 * time.Millisecond

// Transfer hands leadership over to a member, or, without an id, to any that
// has a vote. Only the leader can do that. It takes no entries meanwhile. If
// another server comes to lead, whichever it is, there is no error.
//
// The library has such a function. If the other server takes no entries, and
// this one loses its leadership before that function has given up, the library
// refuses all entries when this server leads again, until its process ends.
func (l *Log) Transfer(id string) error {
	if !l.handing.CompareAndSwap(false, true) {
		return errHanding
	}
	defer l.handing.Store(false)
	term, leading := l.Leading()
	if !leading {
		return hraft.ErrNotLeader
	}
	to, err := l.heir(id, term)
	if err != nil {
		return err
	}
	leads := func() bool {
		now, leading := l.Leading()
		return leading && now == term
	}
	// Entries that are under way end first, so that the other server has them.
	if !within(l.o.Heartbeat, func() bool {
		return !leads() || l.applying.Load() == 0 && l.transport.Matched(to.ID, term) >= l.raft.LastIndex()
	}) {
		return errSlowHeir
	}
	if !leads() {
		return nil
	}
	asked := make(chan error, 1)
	l.asking.Go(func() { // it may take longer than this server wants to wait
		asked <- l.transport.TimeoutNow(to.ID, to.Address, &hraft.TimeoutNowRequest{RPCHeader: hraft.RPCHeader{
			ProtocolVersion: hraft.ProtocolVersionMax, ID: []byte(l.ID()), Addr: l.transport.EncodePeer(hraft.ServerID(l.ID()), l.transport.LocalAddr()),
		}}, new(hraft.TimeoutNowResponse))
	})
	var refusal error
	if !within(l.o.Heartbeat, func() bool {
		select {
		case refusal = <-asked:
		default:
		}
		return refusal != nil || !leads()
	}) {
		return errNotHeir
	}
	return refusal
}

// within waits until something is so, and reports whether it is so in time.
func within(limit time.Duration, is func() bool) bool {
	for end := time.Now().Add(limit); !is(); <-time.After(handPause) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// heir returns the member with an id, or, without one, the member that should
// lead after this server: one that is fit, as far as is known, or else the one
// whose log goes furthest.
func (l *Log) heir(id string, term uint64) (hraft.Server, error) {
	all := l.raft.GetConfiguration().Configuration().Servers
	if id == "" {
		if fit := l.successors(); len(fit) > 0 {
			id = fit[0].ID
		}
	}
	var best *hraft.Server
	for i := range all {
		s := &all[i]
		switch {
		case s.ID == hraft.ServerID(l.ID()) || s.Suffrage != hraft.Voter:
		case string(s.ID) == id:
			return *s, nil
		case id == "" && (best == nil || l.transport.Matched(s.ID, term) > l.transport.Matched(best.ID, term)):
			best = s
		}
	}
	switch {
	case best != nil:
		return *best, nil
	case id != "":
		return hraft.Server{}, fmt.Errorf("%s is not another member with a vote", id)
	}
	return hraft.Server{}, errNoHeir
}

// resign hands leadership over, if this server leads and another one can. It
// asks that one first: what it has told may be some seconds old, and its disk
// may be full by now, too.
func (l *Log) resign(ctx context.Context) {
	if l.raft.State() != hraft.Leader {
		return
	}
	for _, to := range l.successors() {
		asking, cancel := context.WithTimeout(ctx, answerTime)
		s, err := l.askStanding(asking, &to)
		cancel()
		if err != nil || s.Unfit != "" {
			continue
		}
		if err := l.Transfer(to.ID); err != nil {
			l.o.Log.Warn("leadership was not handed over", "to", to.Address, "error", err)
		} else {
			l.o.Log.Info("leadership was handed over", "to", to.Address)
		}
		return
	}
}

// successors returns the members that should lead if this server should not, as
// far as is known. The one that has applied most comes first.
func (l *Log) successors() (fit []Member) {
	applied := make(map[string]uint64)
	for _, m := range l.members() {
		known, ok := l.others.get(m.ID)
		if ok && m.ID != l.ID() && m.Voter && known.Unfit == "" && time.Since(known.heard) < 3*l.o.askEach {
			fit = append(fit, m)
			applied[m.ID] = known.Applied
		}
	}
	slices.SortStableFunc(fit, func(a, b Member) int { return cmp.Compare(applied[b.ID], applied[a.ID]) })
	return fit
}
