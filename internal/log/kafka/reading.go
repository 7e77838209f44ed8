package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/log/raft"
	"trackway/internal/sleep"
)

// Position returns the index of a record. Whatever this server has acknowledged
// or applied so far is not after it.
func (l *Log) Position() uint64 { return l.progress.Reached() }

// HasOwn reports whether this server has applied everything that was
// acknowledged to its own appenders. They wait for that, so it always has.
func (*Log) HasOwn() bool { return true }

// Reach waits until this server has applied an entry, or ctx ends. It reports
// whether that is so.
func (l *Log) Reach(ctx context.Context, index uint64) bool {
	return l.progress.Await(index, ctx.Done(), l.closing)
}

// CatchUp returns once this server has applied everything that was acknowledged
// before the call, by any server.
func (l *Log) CatchUp(ctx context.Context) error {
	index, err := l.Latest(ctx)
	if err != nil {
		return err
	}
	if !l.Reach(ctx, index) {
		return raft.ErrUnavailable
	}
	return nil
}

// Latest returns the index of a record. No record that any server has
// acknowledged before the call is after it. It appends a record, because a
// broker may not know yet that another one leads. Callers that come meanwhile
// share the next record.
func (l *Log) Latest(ctx context.Context) (uint64, error) {
	return l.latest.Ask(ctx, l.begin, raft.ErrClosed, l.askLatest)
}

func (l *Log) askLatest() (uint64, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.patience())
	defer cancel()
	return l.place(ctx)
}

// place appends a record that does nothing, and returns its index.
func (l *Log) place(ctx context.Context) (uint64, error) {
	if l.Ready() != nil {
		return 0, raft.ErrUnavailable
	}
	type placed struct {
		offset int64
		err    error
	}
	done := make(chan placed, 1)
	//nolint:contextcheck // what was sent is not abandoned
	l.client.TryProduce(l.ctx, l.record(kindMark, nil), func(r *kgo.Record, err error) { done <- placed{r.Offset, err} })
	select {
	case p := <-done:
		if p.err != nil {
			return 0, raft.ErrUnavailable
		}
		return l.index(p.offset), nil
	case <-ctx.Done():
	case <-l.failure.Done():
	}
	return 0, raft.ErrUnavailable
}

// beginTime is how long the brokers may take to make the topic.
const beginTime = 30 * time.Second

// Bootstrap begins the log, with the state of this server, which leads first.
// There must be nothing in the topic.
func (l *Log) Bootstrap() error {
	if l.known().Begun {
		return raft.ErrMember
	}
	ctx, cancel := context.WithTimeout(l.ctx, beginTime)
	defer cancel()
	found, err := l.topic(ctx)
	for err != nil { // the brokers may be busy with the new topic
		if _, is := errors.AsType[refusal](err); is || sleep.For(ctx, againPause) != nil {
			return l.o.Brokers.Clean(err)
		}
		found, err = l.topic(ctx)
	}
	if err := l.rightNumber(found); err != nil {
		return err
	}
	if found.end > 0 {
		return refuse("the topic %s has or had records: use a new one, or start with an empty data directory to take part in its log", l.o.Topic)
	}
	if l.machine.Applied() > 0 {
		if err := l.machine.Sync(); err != nil {
			return err
		}
	}
	// First, so that this server recognizes the log, whatever happens.
	if err := l.keep(func(k *kept) {
		if k.Log == "" {
			k.Log = newLog()
		}
		k.Base = l.machine.Applied()
	}); err != nil {
		return err
	}
	end := time.NewTimer(l.patience())
	defer end.Stop()
	if err := l.acknowledge(kindBegin, nil, end.C); err != nil {
		return err
	}
	return l.claim(end.C)
}

func newLog() string {
	var b [logBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return idText(b)
}
