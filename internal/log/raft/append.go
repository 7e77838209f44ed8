package raft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/log/group"
	"trackway/internal/sleep"
)

// Bounds of entries.
const (
	maxEntry  = group.MaxEntry
	maxOthers = 16 // other entries of this server that are under way
)

// Append has the servers agree on an entry, and applies it. Then the entry is
// on the disks of most of them and holds its results. This server may apply
// commands a little later than the leader: see [Log.Reach]. All other entries
// are applied here, too.
//
// If it is not known what became of the entry, Append sends it again, and it
// takes effect once. An error is [ErrUnavailable], [ErrUnknown], [ErrTooLarge],
// [ErrClosed], [version.ErrNotRead], or says why this server takes no commands.
// ctx may keep an entry from being sent; an entry that was sent is not
// abandoned. But if ctx ends before this server has applied an entry that is
// not of commands, the error is [ErrUnknown].
func (l *Log) Append(ctx context.Context, e entry.Entry) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	end, ok := l.begin()
	if !ok {
		return ErrClosed
	}
	defer end()
	if why := l.Unfit(); why != nil {
		return why
	}
	if c, ok := e.(*entry.Commands); ok {
		return l.groups.Append(c)
	}
	l.singles <- struct{}{}
	defer func() { <-l.singles }()
	if !l.allRead(ctx, version.Of(e)) {
		return version.ErrNotRead
	}
	index, err := l.send(e) //nolint:contextcheck // what was sent is not abandoned
	if err == nil && !l.has(ctx, index) {
		return ErrUnknown
	}
	return err
}

// has waits until this server has applied an entry that others have applied, or
// ctx ends. It reports whether that is so. A server that was removed meanwhile
// gets no more entries, and may not know it. So once the server is about to
// stop, has waits only as long as an election may take.
func (l *Log) has(ctx context.Context, index uint64) bool {
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		defer end()
		select {
		case <-l.stopping:
			_ = sleep.For(ctx, l.patience())
		case <-l.failure.Done():
		case <-ctx.Done():
		}
	}()
	return l.progress.Await(index, ctx.Done(), l.closing)
}

// send has an entry applied, and puts its results into it. It returns the index
// of the entry.
func (l *Log) send(e entry.Entry) (index uint64, err error) {
	b := entry.Append(nil, &entry.Once{Origin: l.origin, Counter: l.nextCounter(), Entry: e})
	if len(b) > maxEntry {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), maxEntry)
	}
	answer, err := l.deliver(b)
	if err != nil {
		return 0, err
	}
	if len(answer) < indexBytes {
		return 0, ErrUnknown
	}
	index = binary.BigEndian.Uint64(answer)
	if err := entry.DecodeResults(answer[indexBytes:], e); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	for {
		known := l.acknowledged.Load()
		if known >= index || l.acknowledged.CompareAndSwap(known, index) {
			return index, nil
		}
	}
}

// indexBytes is the size of an entry's index, with which the results of the
// outcome done begin.
const indexBytes = 8

// outcome is what became of an attempt to have an entry applied.
type outcome byte

// The outcomes, as servers tell each other. None of them is 0.
const (
	done    outcome = iota + 1 // it is applied, and there are results
	refused                    // it is not in the log: this server is not the leader
	unknown                    // it may or may not be in the log
	late                       // it was there before, or never will be: newer ones have displaced it
	foreign                    // it is not in the log: the leader cannot read it
)

// errForeign is the reason for an entry that is [foreign].
var errForeign = fmt.Errorf("%w: the leader does not understand the entry; perhaps its program is older than this one", ErrUnavailable)

// deliver gets an encoded entry to the leader, and returns its results. It
// tries for as long as an election may take. If it does not learn what became
// of the entry, it sends the same bytes again, which take effect once.
func (l *Log) deliver(b []byte) ([]byte, error) {
	end := time.NewTimer(l.patience())
	defer end.Stop()
	unanswered := false
	for {
		changed := l.leaders.next()
		outcome, results := l.attempt(b, changed)
		switch outcome {
		case done:
			return results, nil
		case late:
			return nil, ErrUnknown
		case foreign:
			return nil, errForeign
		case unknown:
			unanswered = true
		}
		if err := l.await(changed, end.C); err != nil {
			if unanswered {
				err = ErrUnknown
			}
			return nil, err
		}
	}
}

// Stopping says that the server is about to stop. From then on, no entry waits
// for a leader.
func (l *Log) Stopping() { l.stop.Do(func() { close(l.stopping) }) }

// await waits until another attempt may succeed: after a change of leaders, or
// a moment, since a leader may be busy. It returns an error if there is no time
// for it.
func (l *Log) await(changed <-chan struct{}, end <-chan time.Time) error {
	const moment = 20 * time.Millisecond
	again := time.NewTimer(moment)
	defer again.Stop()
	select {
	case <-changed:
	case <-again.C:
	case <-end:
		return ErrUnavailable
	case <-l.closing:
		return ErrClosed
	case <-l.failure.Done():
	}
	if address, _ := l.raft.LeaderWithID(); address == "" && isClosed(l.stopping) {
		return ErrUnavailable
	}
	if l.broken() != nil {
		return ErrUnavailable // another server can take it, or this one when it has started again
	}
	return nil
}

// attempt gives an entry to the server that is the leader now. It gives up when
// changed is closed, because no answer comes from a leader that was cut off.
func (l *Log) attempt(b []byte, changed <-chan struct{}) (outcome, []byte) {
	address, id := l.raft.LeaderWithID()
	switch {
	case l.broken() != nil || address == "":
		return refused, nil
	case string(id) == l.ID():
		return l.apply(b)
	default:
		return l.forwarder.send(string(address), b, time.Now().Add(l.patience()), changed)
	}
}

// apply puts an entry into the log, if this server is the leader, and waits
// until it is applied.
func (l *Log) apply(b []byte) (outcome, []byte) {
	l.applying.Add(1)
	defer l.applying.Add(-1)
	if l.handing.Load() {
		return refused, nil
	}
	future := l.raft.Apply(b, l.o.Heartbeat)
	answered := make(chan error, 1)
	go func() { answered <- future.Error() }()
	var err error
	end := time.NewTimer(l.patience())
	defer end.Stop()
	select {
	case err = <-answered:
	case <-l.failure.Done():
		return unknown, nil // the library may never answer
	case <-end.C:
		return unknown, nil // most servers take no entries, and yet answer the leader
	}
	switch {
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrEnqueueTimeout), errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return refused, nil
	case err != nil:
		return unknown, nil
	}
	a, ok := future.Response().(applied)
	switch {
	case !ok, a.err != nil, a.once == nil:
		return unknown, nil
	case a.once.Late:
		return late, nil
	}
	return done, entry.AppendResults(binary.BigEndian.AppendUint64(nil, future.Index()), a.once.Entry)
}
