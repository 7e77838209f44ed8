package kafka

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"sync"
	"time"

	"trackway/internal/log/compare"
	"trackway/internal/log/raft/peer"
	"trackway/internal/sleep"
)

// Servers ask each other for the digests of their states over the port for
// servers. They do not tell them in the topic of the members, because the key
// at which a part of a state ends may be an identifier, and a topic keeps what
// is in it. The answer is one line of JSON, and needs no question.

// told is what a server tells of its state.
type told struct {
	compare.Server

	Log string // that it is a member of

	heard time.Time
}

// others is what this server knows of the states of others, by their ids. It is
// safe for concurrent use.
type others struct {
	mu    sync.Mutex
	known map[string]told
}

const (
	answerTime = 2 * time.Second // for an answer
	mostAnswer = 16 << 10        // bytes
	mostNext   = 4 << 10         // of them, for the key at which a part ends
)

func (o *others) note(t told) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = make(map[string]told)
	}
	o.known[t.ID] = t
}

// since returns the servers that have answered after a time.
func (o *others) since(from time.Time) (all []compare.Server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.known {
		if t.heard.After(from) {
			all = append(all, t.Server)
		}
	}
	return all
}

// self returns what this server tells, without its digests.
func (l *Log) self() *compare.Server {
	k := l.known()
	return &compare.Server{ID: k.ID, Version: l.o.Version, Start: k.Starts, Applied: l.progress.Reached()}
}

// serveDigests tells another server the digests of this one.
func (l *Log) serveDigests(conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(answerTime)) != nil {
		return
	}
	t := told{Server: *l.self(), Log: l.known().Log}
	t.Digests = compare.ToTell(l.machine, mostNext)
	_ = json.NewEncoder(conn).Encode(t) // an error means that the other has gone
}

// askDigests asks the members that have told of themselves lately, at once.
func (l *Log) askDigests(members []member) {
	ctx, cancel := context.WithTimeout(l.ctx, answerTime)
	defer cancel()
	var asked sync.WaitGroup
	for i := range members {
		if m := &members[i]; m.ID != l.ID() && l.fresh(m) && !m.Stopping {
			asked.Go(func() {
				if t, err := l.digestsOf(ctx, m); err == nil && t.ID == m.ID && t.Log == m.Log { // else it has stopped
					l.others.note(t)
				}
			})
		}
	}
	asked.Wait()
}

func (l *Log) digestsOf(ctx context.Context, m *member) (t told, err error) {
	to, err := peer.ParseTarget(m.Address + "#" + m.ID)
	if err != nil {
		return t, err
	}
	conn, err := l.o.Network.Dial(ctx, to, peer.Digests, l.o.Partition)
	if err != nil {
		return t, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	line, err := bufio.NewReader(io.LimitReader(conn, mostAnswer)).ReadBytes('\n')
	if err != nil {
		return t, err
	}
	err = json.Unmarshal(line, &t)
	t.heard = time.Now()
	return t, err
}

// compare compares the state of this server with those of the others, again and
// again. The server that leads orders digests.
func (l *Log) compare() {
	for sleep.For(l.ctx, l.o.askEach) == nil && l.broken() == nil {
		if l.Ready() != nil {
			continue
		}
		members := l.list()
		l.askDigests(members)
		ids := make([]string, len(members))
		for i := range members {
			ids[i] = members[i].ID
		}
		if index := l.states.Compare(l.self(), l.others.since(time.Now().Add(-3*l.o.askEach)), ids); index != 0 {
			l.differ(index)
			return
		}
		_, leads := l.Leading()
		l.states.Order(l.ctx, leads, l.self(), l.others.since(time.Time{}), ids, l.Append)
	}
}

// differ ends this server, whose state is not that of most. It tells the
// others first, and leads no more.
func (l *Log) differ(index uint64) {
	l.judge()
	why := compare.Found(index, "Empty its data directory, and start it again. Then remove what it was: trackway cluster remove "+l.ID())
	if err := l.tell(l.ctx, false); err != nil {
		l.o.Log.Info("this server could not tell the others that its data differs", "err", l.o.Brokers.Clean(err))
	}
	l.fatal(compare.Mark(nil, l.o.Dir, why))
}
