package raft

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"

	"trackway/internal/log/raft/peer"
)

// changeTime limits how long a server waits for the answer to a [change].
const changeTime = 15 * time.Second

// change is what a server asks the leader to do. The change and its answer are
// one line of JSON each, on a connection of their own.
type change struct {
	Cluster string // name of the cluster
	Do      string // add, promote, remove, transfer; questions: progress, standing, latest, knows; news: differs
	ID      string // of the server that is meant; for transfer, it may be empty
	Address string // host:port at which it is reached
	Applied uint64 // how far its state goes
	Most    int    `json:",omitempty"` // for add: not if there are so many members; 0: always
	Least   int    `json:",omitempty"` // for remove: not unless so many others keep their votes
	Entries int    `json:",omitempty"` // for add: which encodings of entries the server reads
	Version string `json:",omitempty"` // for add: of its program
}

// changed is the answer.
type changed struct {
	Error  string `json:",omitempty"`
	Leader string `json:",omitempty"` // host:port: ask this server instead
	Behind bool   `json:",omitempty"` // the server has too little of the log to get a vote
	Enough bool   `json:",omitempty"` // for add: there are enough members
	Known  bool   `json:",omitempty"` // for knows: the server is a member
	Lost   bool   `json:",omitempty"` // for knows: it is not, and the member at its address is no more
	Index  uint64 `json:",omitempty"` // of the last entry; for progress, of that in the state

	Standing *standing `json:",omitempty"` // for standing

	sent time.Time     // when the question was sent, by the clock of this server
	took time.Duration // from then to the answer
}

const maxChange = 16 << 10 // bytes

// nearEnough is how many entries a server may lack when it gets its vote.
const nearEnough = 1000

// serveChanges carries out what another server asks for.
func (l *Log) serveChanges(conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(changeTime)) != nil {
		return
	}
	var asked change
	if json.NewDecoder(io.LimitReader(conn, maxChange)).Decode(&asked) != nil {
		return
	}
	_ = json.NewEncoder(conn).Encode(l.change(asked)) // an error means that the other has gone
}

// change answers a question of another server. Only the leader carries out
// changes.
func (l *Log) change(c change) changed {
	if c.Cluster != l.o.Name {
		return changed{Error: fmt.Sprintf("this cluster is %q, not %q: see cluster.name in the configuration", l.o.Name, c.Cluster)}
	}
	switch c.Do {
	case "progress":
		return changed{Index: l.progress.Reached()}
	case "standing":
		return changed{Standing: l.standing()}
	case "differs":
		if slices.Contains(l.ids(), c.ID) {
			l.states.Note(c.ID, c.Applied)
		}
		return changed{}
	}
	if l.raft.State() != hraft.Leader {
		if at, _ := l.raft.LeaderWithID(); at != "" {
			return changed{Leader: hostPort(at)}
		}
		return changed{Error: "no server leads the cluster at the moment"}
	}
	var index uint64
	var err error
	switch c.Do {
	case "latest":
		index, err = l.lastCommand()
	case "knows":
		if err = l.raft.VerifyLeader().Error(); err == nil {
			return changed{Known: l.member(c.ID) != nil, Lost: l.lost(c), Index: l.raft.LastIndex()}
		}
	case "add":
		if err = l.admit(c); errors.Is(err, ErrEnough) {
			return changed{Enough: true}
		}
	case "promote":
		if l.raft.CommitIndex() > c.Applied+nearEnough {
			return changed{Behind: true}
		}
		err = l.Add(c.ID, c.Address, true)
	case "remove":
		err = l.release(c.ID, c.Least)
	case "transfer":
		err = l.Transfer(c.ID)
	default:
		err = fmt.Errorf("%q is not known", c.Do)
	}
	if err != nil {
		return changed{Error: err.Error()}
	}
	return changed{Index: index}
}

// standingAt asks the server at an address, whatever its id. It returns nil if
// none answers.
func (l *Log) standingAt(address string) *standing {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	got, err := l.askAt(ctx, change{Cluster: l.o.Name, Do: "standing"}, address)
	if err != nil {
		return nil
	}
	return got.Standing
}

// ask has the leader carry out a change. It begins with this server, and then
// asks those at addresses.
func (l *Log) ask(ctx context.Context, c change, addresses []string) (changed, error) {
	c.Cluster = l.o.Name
	if l.raft.State() == hraft.Leader {
		return wrong(l.change(c)) //nolint:contextcheck // it has a limit of its own
	}
	if at, _ := l.raft.LeaderWithID(); at != "" {
		addresses = append([]string{hostPort(at)}, addresses...)
	}
	err := errors.New("no other server is known: see cluster.peers in the configuration")
	for _, address := range addresses {
		if address == l.o.Network.Advertise() {
			continue
		}
		var got changed
		if got, err = l.askAt(ctx, c, address); err == nil && got.Leader != "" && got.Leader != address {
			got, err = l.askAt(ctx, c, got.Leader)
		}
		if err == nil {
			return wrong(got)
		}
	}
	return changed{}, err
}

// wrong returns the error in an answer, too.
func wrong(got changed) (changed, error) {
	switch {
	case got.Error != "":
		return got, errors.New(got.Error)
	case got.Leader != "":
		return got, errors.New("the leader is changing: try again")
	}
	return got, nil
}

// askAt asks the server at an address, whatever its id.
func (l *Log) askAt(ctx context.Context, c change, address string) (got changed, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	conn, err := l.o.Network.Dial(ctx, peer.Target{Address: address}, peer.Change, l.o.Partition)
	if err != nil {
		return got, err
	}
	defer func() { _ = conn.Close() }()
	forget := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer forget()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return got, err
		}
	}
	sent, began := l.o.Now(), time.Now()
	if err := json.NewEncoder(conn).Encode(c); err != nil {
		return got, err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxChange)).ReadBytes('\n')
	if err != nil {
		return got, fmt.Errorf("%s does not answer: %w", address, err)
	}
	took := time.Since(began)
	err = json.Unmarshal(line, &got)
	got.sent, got.took = sent, took
	return got, err
}
