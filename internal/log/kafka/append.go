package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/log/group"
	"trackway/internal/log/raft"
)

// Bounds.
const (
	batchBytes    = group.MaxEntry + 64<<10 // of a batch of records, before it is compressed
	bufferBytes   = 64 << 20                // of records that wait for the brokers
	bufferRecords = 1000
	produceTime   = 5 * time.Second // for a broker and a record
	maxOthers     = 16              // other entries of this server that are under way

	// retryPause is how long a server waits before it appends an entry again.
	retryPause = 50 * time.Millisecond
)

// Append appends an entry, and waits until the brokers have acknowledged it and
// this server has applied it. Then the entry holds its results. If it is not
// known whether it is in the log, it is appended again, and takes effect once.
//
// An error is [raft.ErrUnavailable], [raft.ErrUnknown], [raft.ErrTooLarge],
// [raft.ErrClosed], [version.ErrNotRead], or says why this server cannot go on.
// ctx may keep an entry from being sent; an entry that was sent is not
// abandoned.
func (l *Log) Append(ctx context.Context, e entry.Entry) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	end, ok := l.begin()
	if !ok {
		return raft.ErrClosed
	}
	defer end()
	if why := l.Unfit(); why != nil {
		return why
	}
	if c, ok := e.(*entry.Commands); ok {
		return l.groups.Append(c)
	}
	if version.Of(e) > 0 { // servers do not say what they read
		return version.ErrNotRead
	}
	l.singles <- struct{}{}
	defer func() { <-l.singles }()
	return l.send(e)
}

// send has an entry applied here, and puts its results into it.
func (l *Log) send(e entry.Entry) error {
	counter := l.counter.Add(1)
	b := entry.Append(nil, &entry.Once{Origin: l.origin, Counter: counter, Entry: e})
	if len(b) > group.MaxEntry {
		return fmt.Errorf("%w: %d bytes, at most %d", raft.ErrTooLarge, len(b), group.MaxEntry)
	}
	came := l.waiting.add(counter)
	defer l.waiting.drop(counter)
	once, err := l.deliver(b, came)
	switch {
	case err != nil:
		return err
	case once.Late:
		return raft.ErrUnknown
	}
	if err := entry.DecodeResults(entry.AppendResults(nil, once.Entry), e); err != nil {
		return fmt.Errorf("%w: %w", raft.ErrUnknown, err)
	}
	return nil
}

// deliver has a record with an entry acknowledged and applied. If the brokers
// refuse it, they get it again: it may be in the log all the same, if too few
// of them had it in time.
func (l *Log) deliver(b []byte, came <-chan *entry.Once) (*entry.Once, error) {
	if l.Ready() != nil {
		return nil, raft.ErrUnavailable
	}
	end := time.NewTimer(l.patience())
	defer end.Stop()
	if err := l.acknowledge(kindEntry, b, end.C); err != nil {
		return nil, err
	}
	select {
	case once := <-came:
		return once, nil
	case <-end.C:
	case <-l.hurry:
	case <-l.failure.Done():
	}
	return nil, raft.ErrUnknown
}

// acknowledge has a record acknowledged by the brokers, before end.
func (l *Log) acknowledge(kind byte, b []byte, end <-chan time.Time) error {
	for sent := false; ; sent = true {
		acknowledged := make(chan error, 1)
		l.client.TryProduce(l.ctx, l.record(kind, b), func(_ *kgo.Record, err error) { acknowledged <- err })
		var err error
		select {
		case err = <-acknowledged:
		case <-end:
			return raft.ErrUnknown
		case <-l.hurry:
			return raft.ErrUnknown
		case <-l.failure.Done():
			return raft.ErrUnknown
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, kgo.ErrMaxBuffered) && !sent:
			return raft.ErrUnavailable // it was not sent
		case errors.Is(err, kerr.MessageTooLarge) && !sent:
			return fmt.Errorf("%w: the brokers refuse %d bytes", raft.ErrTooLarge, len(b))
		}
		l.o.Log.Warn("the brokers have refused an entry", "err", l.o.Brokers.Clean(err))
		again := time.NewTimer(retryPause)
		select {
		case <-again.C:
		case <-end:
			return raft.ErrUnknown
		case <-l.failure.Done():
			return raft.ErrUnknown
		}
	}
}

// record returns a record of this log.
func (l *Log) record(kind byte, b []byte) *kgo.Record {
	k := l.known()
	h := head{k.Log, k.Base, kind, byte(l.o.Partitions), l.o.Name}
	return &kgo.Record{Topic: l.o.Topic, Partition: int32(l.o.Partition), Value: b, Headers: []kgo.RecordHeader{h.header()}}
}

// patience is how long an entry waits for the brokers: they may be electing a
// leader.
func (l *Log) patience() time.Duration { return max(5*l.o.Heartbeat, 5*time.Second) }

// waiting is the entries of this server that are under way.
type waiting struct {
	using sync.WaitGroup // holds a count for each use of the log

	mu  sync.Mutex
	all map[uint64]chan *entry.Once // by counter; each has room for one
}

func (w *waiting) add(counter uint64) <-chan *entry.Once {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[uint64]chan *entry.Once)
	}
	came := make(chan *entry.Once, 1)
	w.all[counter] = came
	return came
}

func (w *waiting) drop(counter uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, counter)
}

// came hands an applied entry to the one that waits for it, once.
func (w *waiting) came(once *entry.Once) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.all[once.Counter]; c != nil {
		c <- once
		delete(w.all, once.Counter)
	}
}
