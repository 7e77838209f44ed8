package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/entry"
	"trackway/internal/sleep"
)

const (
	fetchWait   = 500 * time.Millisecond // a fetch returns as soon as there is a record
	fetchBytes  = 16 << 20
	againPause  = 200 * time.Millisecond
	attachPause = 500 * time.Millisecond
	askTime     = 10 * time.Second // for a question to the brokers
	strangerLog = 1000             // of so many records of others, one is logged
)

// follow applies what is in the topic, until the log is closed.
func (l *Log) follow() {
	for l.ctx.Err() == nil && l.broken() == nil {
		next, err := l.attach(l.ctx)
		if err == nil {
			err = l.consume(l.ctx, next)
		}
		if l.ctx.Err() != nil {
			return
		}
		if stop, is := errors.AsType[refusal](err); is {
			l.fatal(stop.error)
			return
		}
		err = l.o.Brokers.Clean(err)
		l.wait(err)
		if errors.Is(err, errLacks) {
			l.getState(l.ctx)
		}
		_ = sleep.For(l.ctx, attachPause) // the loop looks whether it has ended
	}
}

// errLacks is why a server that lacks deleted records waits.
var errLacks = errors.New("this server lacks entries that are in the topic no more: it gets the state of another server")

// attach finds out whether the topic is the one that the state is of, and
// returns the offset of the next record.
func (l *Log) attach(ctx context.Context) (next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTime)
	defer cancel()
	found, err := l.topic(ctx)
	if err != nil {
		return 0, err
	}
	if err := l.recognize(ctx, found); err != nil {
		return 0, err
	}
	k := l.known()
	if err := l.wentBack(ctx, found); err != nil {
		return 0, err
	}
	applied := l.machine.Applied()
	next = int64(applied - k.Base)
	switch {
	case applied < k.Base, next < found.start:
		return 0, errLacks
	case next > found.end:
		return 0, refuse("%w: it ends with entry %d, and this server has applied entry %d", ErrWentBack, l.index(found.end-1), applied)
	}
	l.noteEnd(found.end)
	return next, nil
}

// ErrWentBack says that the topic has lost records that this server has
// applied.
var ErrWentBack = errors.New("the log went back: the topic has lost records, or is another one with the same name. This server stops, so that its data does not mix with other data. " +
	"If the records are lost for good, keep the data of one server, and begin a new log with it in a new topic (docs/cluster.md)")

// recognize finds out which log is in the topic.
func (l *Log) recognize(ctx context.Context, found *topic) error {
	k := l.known()
	if k.Begun {
		if k.Cluster != found.cluster {
			return refuse("%w: Kafka's cluster is %s, and was %s", ErrWentBack, found.cluster, k.Cluster)
		}
		if k.Topic != found.id {
			return refuse("%w: the topic %s was deleted and created again (its id is %s, and was %s)", ErrWentBack, l.o.Topic, found.id, k.Topic)
		}
		return nil
	}
	if found.start == found.end {
		return cmp.Or(l.rightNumber(found), ErrNotBegun)
	}
	first, err := l.readAt(ctx, found.start)
	if err != nil {
		return err
	}
	h, ok := headOf(first)
	switch {
	case !ok:
		return refuse("the topic %s has records that are not of a log of Trackway: use another topic", l.o.Topic)
	case h.name != l.o.Name:
		return refuse("the topic %s has the log of the cluster %q, not of %q: see cluster.name in the configuration", l.o.Topic, h.name, l.o.Name)
	case int(h.of) != l.o.Partitions:
		return refuse("the log in the topic %s is of data with %d partitions, and this server has %d: see partitions in the configuration", l.o.Topic, h.of, l.o.Partitions)
	case h.log != k.Log && l.machine.Applied() > 0:
		return refuse("this server holds data that is not of the log in the topic %s. "+
			"Start it with an empty data directory, and it gets the data of that log; or begin another log with its data, in a new topic (docs/cluster.md)", l.o.Topic)
	}
	if h.log != k.Log && l.o.Joined != nil {
		if err := l.o.Joined(); err != nil {
			return err
		}
	}
	return l.keep(func(k *kept) {
		k.Log, k.Base, k.Begun, k.Cluster, k.Topic = h.log, h.base, true, found.cluster, found.id
	})
}

// wentBack returns an error if the last record that this server has read is not
// in the topic any more, though later ones are.
func (l *Log) wentBack(ctx context.Context, found *topic) error {
	last := l.mark.last
	switch {
	case !last.any || last.offset < found.start:
		return nil // it was deleted, which happens in order
	case last.offset >= found.end:
		return refuse("%w: it ends with entry %d, and this server has read entry %d", ErrWentBack, l.index(found.end-1), l.index(last.offset))
	}
	r, err := l.readAt(ctx, last.offset)
	if err != nil {
		return err
	}
	if r.LeaderEpoch != last.epoch || sumOf(r.Value) != last.sum {
		return refuse("%w: entry %d is not the one that this server has read", ErrWentBack, l.index(last.offset))
	}
	return nil
}

// index returns the index of the record at an offset.
func (l *Log) index(offset int64) uint64 {
	return l.known().Base + uint64(offset+1)
}

// offset returns the offset of the record with an index.
func (l *Log) offset(index uint64) int64 {
	return int64(index-l.known().Base) - 1
}

// noteEnd notes how far the topic goes.
func (l *Log) noteEnd(end int64) { l.end.Store(l.index(end - 1)) }

// reader returns a client that reads the partition from an offset on.
func (l *Log) reader(offset int64, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := l.o.Brokers.Dial()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.o.Topic: {int32(l.o.Partition): kgo.NewOffset().At(offset)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait),
	), more...)...)
}

// readAt reads the record at an offset.
func (l *Log) readAt(ctx context.Context, offset int64) (*kgo.Record, error) {
	client, err := l.reader(offset)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	fetches := client.PollRecords(ctx, 1)
	if failed := fetches.Errors(); len(failed) > 0 {
		return nil, fmt.Errorf("read the record at offset %d: %w", offset, failed[0].Err)
	}
	if fetches.NumRecords() == 0 {
		return nil, errSilent
	}
	r := fetches.Records()[0]
	if r.Offset != offset {
		return nil, refuse("the topic %s has no record at offset %d, and one at %d: %w", l.o.Topic, offset, r.Offset, ErrWentBack)
	}
	return r, nil
}

// consume applies the records from an offset on. It returns an error if it
// cannot go on.
func (l *Log) consume(ctx context.Context, next int64) error {
	client, err := l.reader(next, kgo.FetchMaxBytes(fetchBytes), kgo.MaxConcurrentFetches(1))
	if err != nil {
		return err
	}
	defer client.Close()
	l.wait(nil)
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if failed := fetches.Errors(); len(failed) > 0 {
			return l.readError(failed[0].Err)
		}
		for it := fetches.RecordIter(); !it.Done(); next++ {
			r := it.Next()
			if r.Offset != next {
				return refuse("%w: after the record at offset %d comes the one at %d", ErrWentBack, next-1, r.Offset)
			}
			if err := l.enter(ctx, r); err != nil {
				return err
			}
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { l.noteEnd(p.HighWatermark) })
	}
}

// readError returns what an error of reading means. After most of them, attach
// asks where the topic begins and ends.
func (l *Log) readError(err error) error {
	if lost, is := errors.AsType[*kgo.ErrDataLoss](err); is {
		return refuse("%w: %w", ErrWentBack, lost)
	}
	return fmt.Errorf("read the topic %s: %w", l.o.Topic, err)
}

// enter takes in a record.
func (l *Log) enter(ctx context.Context, r *kgo.Record) error {
	for l.Full() { // it takes nothing until there is room
		if err := sleep.For(ctx, againPause); err != nil {
			return err
		}
	}
	if err := l.broken(); err != nil {
		return err
	}
	if err := l.mark.write(read{offset: r.Offset, epoch: r.LeaderEpoch, sum: sumOf(r.Value)}); err != nil {
		return refuse("note how far the log was read: %w", err)
	}
	index := l.index(r.Offset)
	h, ok := headOf(r)
	if !ok || h.log != l.known().Log {
		if !r.Attrs.IsControl() {
			l.stranger(r)
		}
	} else if err := l.applyRecord(index, h.kind, r); err != nil {
		return refuse("entry %d cannot be applied, and other servers may have applied it: %w", index, err)
	}
	l.progress.Reach(index)
	return nil
}

// stranger notes a record that is not of this log. It has no effect, on all
// servers alike.
func (l *Log) stranger(r *kgo.Record) {
	if l.strangers++; l.strangers%strangerLog == 1 {
		l.o.Log.Error("somebody else writes into the topic of the log: the record has no effect", "topic", l.o.Topic, "offset", r.Offset, "so_far", l.strangers)
	}
}

// errOwn says that this server has not sent an entry with its own ID.
var errOwn = errors.New("this server has not sent it, though it has its ID: the data directory is a copy that another server uses, " +
	"or an older one of this server. Empty it, and start the server again")

func (l *Log) applyRecord(index uint64, kind byte, r *kgo.Record) error {
	switch kind {
	case kindClaim:
		return l.claimed(index, r.Value)
	case kindEntry:
	case kindBegin, kindMark:
		return nil
	default:
		return fmt.Errorf("the record is of kind %q, which a newer program has written: update this one", kind)
	}
	if index <= l.machine.Applied() {
		return nil
	}
	e, err := entry.Decode(r.Value)
	if err != nil {
		return err
	}
	once, ok := e.(*entry.Once)
	switch {
	case !ok:
		return fmt.Errorf("it is of kind %d", e.Kind())
	case once.Origin == l.origin && once.Counter > l.counter.Load():
		return errOwn // the next entries of this server could be taken for that one
	}
	if err := l.machine.Apply(index, once); err != nil {
		return err
	}
	if once.Origin == l.origin {
		l.progress.Reach(index) // first: the appender names the position next
		l.waiting.came(once)
	}
	return nil
}
