// Package kafka is the destination kind kafka. One transaction holds the
// records of a batch and the position, so a consumer that reads only committed
// records reads each of them exactly once. DESIGN.md explains why this holds
// when brokers, answers or we fail.
//
// Topics can only be appended to. So events that an erasure has rewritten stay
// unchanged in the topic events until the topic's retention removes them.
package kafka

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kafka/brokers"
	"trackway/internal/sleep"
)

const (
	// transactionTimeout is when the brokers abort a transaction that we do not
	// end. Until then, readers of committed records wait. A batch must take
	// less time.
	transactionTimeout = 60 * time.Second
	writeTimeout       = 45 * time.Second

	createTimeout = 15 * time.Second // for a new topic to get leaders
	pollEvery     = 50 * time.Millisecond
	fetchWait     = 250 * time.Millisecond
	fetchBytes    = 1 << 20

	// maxBuffered bounds the values that wait for a broker, in bytes. The batch
	// itself is in memory, too. A larger record cannot be sent.
	maxBuffered = 8 << 20
)

// Sink writes into the topics of one destination. It implements
// [destination.Sink], [destination.Describer] and [destination.Keeper].
type Sink struct {
	name     string
	called   string // by operators: the name, with the partition
	prefix   string
	options  brokers.Options
	id       string // the transactional id
	instance string // differs between any two sinks

	client  *kgo.Client // it may write; nil: not prepared
	topics  map[string]*topic
	state   state // as last committed
	claimed bool  // a record with our instance has been committed
}

// New checks the settings of d. It opens nothing. store is the store's id.
func New(d *config.Destination, store string) (*Sink, error) {
	o, err := brokers.Parse(d.URL, d.User, d.Password)
	if err != nil {
		return nil, err
	}
	s := &Sink{name: d.Name, called: d.Called(), prefix: d.Prefix, options: o, id: "trackway-" + store + "-" + d.Name}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	s.instance = hex.EncodeToString(random[:])
	return s, nil
}

// Prepare connects, creates missing topics, and makes every other sink of the
// same destination and store unable to write. The outcome of all earlier
// transactions is then known, and Prepare reads the position.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	if err := s.open(ctx, false); err != nil {
		return destination.Position{}, s.fail(ctx, err)
	}
	return s.state.position(), nil
}

// open does the work of Prepare. If renewed is set, it accepts topics that were
// deleted and created again.
func (s *Sink) open(ctx context.Context, renewed bool) error {
	s.close()
	opts, err := s.options.Dial()
	if err != nil {
		return err
	}
	opts = append(opts,
		kgo.TransactionalID(s.id), kgo.TransactionTimeout(transactionTimeout),
		kgo.MaxBufferedBytes(maxBuffered), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.RecordPartitioner(partitioner{s}), kgo.ProducerBatchMaxBytesFn(s.maxBytes),
	)
	if s.client, err = kgo.NewClient(opts...); err != nil {
		return err
	}
	if err := s.createTopics(ctx, kadm.NewClient(s.client)); err != nil {
		return err
	}
	// A sink that has lost the destination to another one must not take it back
	// by itself.
	if s.topics, err = s.awaitTopics(ctx, s.client); err != nil {
		return err
	}
	if err := s.checkOwner(ctx, s.client, s.topics[positions]); err != nil {
		return err
	}
	if _, _, err := s.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("begin to write as %s: %w", s.id, err)
	}
	// From here on, the outcome of all earlier transactions of this destination
	// is known.
	if s.topics, err = s.readTopics(ctx, s.client); err != nil {
		return err
	}
	f, err := s.readState(ctx, s.client, s.topics[positions], true)
	if err == nil {
		err = s.adopt(&f, renewed)
	}
	if err != nil {
		return err
	}
	f.Instance = s.instance
	return s.commit(ctx, &f.state, nil)
}

// awaitTopics is like readTopics, but waits a while for new topics.
func (s *Sink) awaitTopics(ctx context.Context, client *kgo.Client) (map[string]*topic, error) {
	waiting, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	for {
		topics, err := s.readTopics(waiting, client)
		if err == nil || !kerr.IsRetriable(err) || sleep.For(waiting, pollEvery) != nil {
			return topics, err
		}
	}
}

// adopt compares the recorded topics with the existing ones, and adds new ones
// to the record.
func (s *Sink) adopt(f *found, renewed bool) error {
	if !f.any {
		for _, name := range tables {
			if !s.topics[name].empty() {
				return &destination.FinalError{Err: fmt.Errorf("the topic %s has records, but %s has no position: either the records are not ours, or %s was deleted; use another prefix, or delete the topics %s*",
					s.prefix+name, s.prefix+positions, s.prefix+positions, s.prefix)}
			}
		}
	}
	if f.Topics == nil {
		f.Topics = make(map[string]topicState)
	}
	for _, name := range tables {
		was, known := f.Topics[name]
		is := topicState{ID: s.topics[name].id.String(), Partitions: int32(len(s.topics[name].leaders))}
		switch {
		case known && was.ID == is.ID && was.Partitions <= is.Partitions:
			continue // added partitions stay unused
		case known && !renewed && f.Number > 0:
			return &destination.FinalError{Err: fmt.Errorf("the topic %s was deleted and created again; `trackway destinations rewind %s --to beginning` fills it", s.prefix+name, s.called)}
		case known && name == events:
			f.Written = nil
		}
		f.Topics[name] = is
	}
	return nil
}

// checkOwner returns a FinalError if another sink has taken over since this one
// was prepared.
func (s *Sink) checkOwner(ctx context.Context, client *kgo.Client, t *topic) error {
	if !s.claimed {
		return nil
	}
	f, err := s.readState(ctx, client, t, false)
	if err != nil {
		return err
	}
	if f.ours && f.Instance != s.instance {
		s.claimed = false // if an operator starts us again, we may write
		return &destination.FinalError{Taken: true, Err: fmt.Errorf("another process writes to this destination as %s", s.id)}
	}
	return nil
}

// Write writes b and the position in one transaction. It writes no event twice,
// and ignores rewritten events, because the topic keeps the old ones.
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	switch {
	case s.client == nil:
		return nil, errors.New("the destination is not prepared")
	case s.state.Store != "" && s.state.Store != b.Store:
		return nil, &destination.FinalError{Err: fmt.Errorf("the topic %s has the position of another store", s.prefix+positions)}
	case b.After < b.Through && b.Through <= s.state.Number:
		return s.rejects(b), nil // it was written
	case b.After == b.Through && len(b.Erasures) == 0:
		return nil, nil // the batch has only events that cannot be rewritten
	}
	next := s.state
	if b.After < b.Through {
		next.Store, next.Number = b.Store, b.Through
		next.Written = s.state.with(span{b.After, b.Through})
	}
	r := s.rows(b)
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errors.New("the brokers did not accept the batch in time"))
	defer cancel()
	if err := s.commit(ctx, &next, r.records(b, &s.state)); err != nil {
		return nil, s.fail(ctx, err)
	}
	return r.rejects, nil
}

// rejects returns the rows of b that did not fit. It does so even if b was
// already written.
func (s *Sink) rejects(b *destination.Batch) []destination.Reject {
	r := s.rows(b)
	for range r.records(b, &state{}) {
	}
	return r.rejects
}

func (s *Sink) rows(b *destination.Batch) *rows {
	return &rows{prefix: s.prefix, topics: s.topics, store: []byte(b.Store)}
}

// commit writes records and next in one transaction. After an error, nobody
// knows whether they are written until the sink is opened again.
func (s *Sink) commit(ctx context.Context, next *state, records iter.Seq[*kgo.Record]) error {
	err := transact(ctx, s.client, func(yield func(*kgo.Record) bool) {
		if records != nil {
			for record := range records {
				if record != nil && !yield(record) {
					return
				}
			}
		}
		yield(next.record(s.prefix+positions, s.name))
	})
	if err != nil {
		return err
	}
	s.state, s.claimed = *next, true
	return nil
}

// transact writes records in one transaction of client.
func transact(ctx context.Context, client *kgo.Client, records iter.Seq[*kgo.Record]) error {
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	var failed atomic.Pointer[error]
	for record := range records {
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
		if failed.Load() != nil {
			break
		}
	}
	err = client.Flush(ctx)
	if first := failed.Load(); first != nil {
		err = *first
	}
	if err != nil {
		return fmt.Errorf("write records: %w", errors.Join(err, context.Cause(ctx)))
	}
	// The client gets a new epoch if it has lost track of what it sent. Earlier
	// records would then not be part of the transaction.
	if id2, epoch2, err := client.ProducerID(ctx); err != nil || id2 != id || epoch2 != epoch {
		return fmt.Errorf("commit a transaction: it was interrupted: %w", errors.Join(err, kerr.OperationNotAttempted))
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("commit a transaction: %w", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// fail closes the client. The next use then begins with a new epoch, which
// decides the outcome of the transaction. It returns err in the form that the
// engine expects.
func (s *Sink) fail(ctx context.Context, err error) error {
	s.close()
	if _, final := errors.AsType[*destination.FinalError](err); final {
		return err
	}
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		// Either another sink has taken over, or we were asleep for longer than
		// a transaction may take.
		if lost := s.lost(ctx); lost != nil {
			return lost
		}
	}
	return s.options.Clean(err)
}

// lost returns a FinalError if another sink has taken over. It returns nil if
// none has, or if it cannot find out now: then the next open finds out.
func (s *Sink) lost(ctx context.Context) error {
	opts, err := s.options.Dial()
	if err != nil {
		return nil
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil
	}
	defer client.Close()
	topics, err := s.readTopics(ctx, client)
	if err != nil {
		return nil
	}
	err = s.checkOwner(ctx, client, topics[positions])
	if _, final := errors.AsType[*destination.FinalError](err); final {
		return err
	}
	return nil
}

// Rewind records another position. Events that are already in the topic are not
// written again, unless the topic was deleted and created again.
func (s *Sink) Rewind(ctx context.Context, to destination.Position) error {
	if err := s.open(ctx, true); err != nil {
		return s.fail(ctx, err)
	}
	next := s.state
	if next.Store != to.Store {
		next.Written = nil // of other numbers
	}
	next.Store, next.Number = to.Store, to.Number
	if err := s.commit(ctx, &next, nil); err != nil {
		return s.fail(ctx, err)
	}
	return nil
}

// Check writes a record into the topic with the positions, reads it back, and
// overwrites it with a tombstone. It uses a separate transactional id, so it
// does not disturb a sink that writes.
func (s *Sink) Check(ctx context.Context) error {
	return s.options.Clean(s.check(ctx))
}

func (s *Sink) check(ctx context.Context) error {
	opts, err := s.options.Dial()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.TransactionalID(s.id+"-check"), kgo.TransactionTimeout(transactionTimeout))...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := s.createTopics(ctx, kadm.NewClient(client)); err != nil {
		return err
	}
	before, err := s.awaitTopics(ctx, client)
	if err != nil {
		return err
	}
	topic, key := s.prefix+positions, []byte(checkKey+s.name)
	var value [16]byte
	_, _ = rand.Read(value[:]) // never fails
	text := hex.AppendEncode(nil, value[:])
	if err := transact(ctx, client, one(&kgo.Record{Topic: topic, Key: key, Value: text})); err != nil {
		return err
	}
	read := s.contains(ctx, client, before[positions], text)
	return errors.Join(read, transact(ctx, client, one(&kgo.Record{Topic: topic, Key: key})))
}

// contains waits until value can be read at the end of t.
func (s *Sink) contains(ctx context.Context, client *kgo.Client, t *topic, value []byte) error {
	for at := t.end[0]; ; {
		records, next, _, err := s.fetch(ctx, client, positions, t, 0, at)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(records, func(r *kgo.Record) bool { return string(r.Value) == string(value) }) {
			return nil
		}
		if next == at {
			if err := sleep.For(ctx, pollEvery); err != nil {
				return fmt.Errorf("read back what was written: %w", err)
			}
		}
		at = next
	}
}

// KeepsErased implements [destination.Keeper].
func (s *Sink) KeepsErased() {}

func one(record *kgo.Record) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) { yield(record) }
}

// Close disconnects.
func (s *Sink) Close() error {
	s.close()
	return nil
}

func (s *Sink) close() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// maxBytes returns how many bytes a batch of records may have in a topic.
func (s *Sink) maxBytes(full string) int32 {
	for name, t := range s.topics {
		if s.prefix+name == full {
			return int32(max(t.maxBytes, 1<<10)) // at most maxBuffered
		}
	}
	return defaultMaxBytes
}

// partitioner puts rows with the same key into the partition that Kafka's own
// clients would choose, among the partitions that the topic had in the
// beginning.
type partitioner struct{ s *Sink }

// ForTopic returns the partitioner of a topic.
func (p partitioner) ForTopic(full string) kgo.TopicPartitioner {
	fixed := fixedPartitions{TopicPartitioner: kgo.StickyKeyPartitioner(nil).ForTopic(full)}
	for name, t := range p.s.state.Topics {
		if p.s.prefix+name == full {
			fixed.n = int(t.Partitions)
		}
	}
	return fixed
}

type fixedPartitions struct {
	kgo.TopicPartitioner

	n int // 0: all there are
}

// Partition returns the partition of r, out of n.
func (p fixedPartitions) Partition(r *kgo.Record, n int) int {
	if p.n > 0 && p.n < n {
		n = p.n
	}
	return p.TopicPartitioner.Partition(r, n)
}
