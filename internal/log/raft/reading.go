package raft

import (
	"context"
	"errors"

	hraft "github.com/hashicorp/raft"
)

// Position returns the index of an entry. Whatever this server has acknowledged
// or applied so far is not after it.
func (l *Log) Position() uint64 { return max(l.acknowledged.Load(), l.progress.Reached()) }

// HasOwn reports whether this server has applied everything that was
// acknowledged to its own appenders.
func (l *Log) HasOwn() bool { return l.progress.Reached() >= l.acknowledged.Load() }

// Reach waits until this server has applied an entry and everything that was
// acknowledged to its own appenders, or ctx ends. It reports whether that is
// so.
func (l *Log) Reach(ctx context.Context, index uint64) bool {
	return l.progress.Await(max(index, l.acknowledged.Load()), ctx.Done(), l.closing)
}

// Latest returns the index of an entry. No entry that any server has
// acknowledged before the call is after it. It asks the leader, and the leader
// asks most of the others whether it still leads. Callers that come meanwhile
// share the next question.
func (l *Log) Latest(ctx context.Context) (uint64, error) {
	return l.latest.Ask(ctx, l.begin, ErrClosed, l.askLatest)
}

func (l *Log) askLatest() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.patience())
	defer cancel()
	got, err := l.ask(ctx, change{Do: "latest"}, l.addresses())
	return got.Index, err
}

// lastCommand returns the index of the last entry in this server's log that
// machines apply. If this server does not lead any more, it returns an error.
func (l *Log) lastCommand() (uint64, error) {
	if err := l.raft.VerifyLeader().Error(); err != nil {
		return 0, err
	}
	for index := l.raft.LastIndex(); ; index-- {
		var e hraft.Log
		switch err := l.store.GetLog(index, &e); {
		case errors.Is(err, hraft.ErrLogNotFound):
			return l.progress.Reached(), nil // the snapshot covers the rest
		case err != nil:
			return 0, err
		case e.Type == hraft.LogCommand:
			return index, nil
		}
	}
}
