// Package kafka is the destination kind kafka. One transaction holds the
// records of a batch and the position, so a consumer that reads only committed
// records reads each of them exactly once. DESIGN.md says why that holds when
// brokers, answers or we fail.
//
// Topics can only be appended to. So events that an erasure has rewritten stay
// in the topic events as they were, until the topic's retention removes them.
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
	"trackway/internal/sleep"
)

const (
	// transactionTimeout is when the brokers abort a transaction that we no
	// longer end. Until then, readers of committed records wait. No batch may
	// take as long.
	transactionTimeout = 60 * time.Second
	writeTimeout       = 45 * time.Second

	dialTimeout    = 10 * time.Second
	requestTimeout = 10 * time.Second // on top of what a request itself may take
	retryTimeout   = 20 * time.Second // of requests other than those that write
	metadataAge    = time.Second
	createTimeout  = 15 * time.Second // until a new topic must have leaders
	pollEvery      = 50 * time.Millisecond
	fetchWait      = 250 * time.Millisecond
	fetchBytes     = 1 << 20

	// maxBuffered bounds the values that wait for a broker, in bytes. The batch
	// itself is in memory, too.
	// A record with more cannot be sent.
	maxBuffered = 8 << 20
)

// Sink writes into the topics of one destination. It implements
// [destination.Sink], [destination.Describer] and [destination.Keeper].
type Sink struct {
	name     string
	prefix   string
	options  options
	id       string // the transactional id
	instance string // differs between any two sinks

	client  *kgo.Client // that may write; nil: not prepared
	topics  map[string]*topic
	state   state // as last committed
	claimed bool  // a record with our instance was committed once
}

// New checks the settings of d. It opens nothing. store is the store's id.
func New(d *config.Destination, store string) (*Sink, error) {
	o, err := parseOptions(d)
	if err != nil {
		return nil, err
	}
	s := &Sink{name: d.Name, prefix: d.Prefix, options: o, id: "trackway-" + store + "-" + d.Name}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	s.instance = hex.EncodeToString(random[:])
	return s, nil
}

// Prepare connects, creates missing topics, and makes every other sink of the
// same destination and store unable to write. Then nobody's transaction is
// still undecided, and it reads the position.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	if err := s.open(ctx, false); err != nil {
		return destination.Position{}, s.fail(ctx, err)
	}
	return s.state.position(), nil
}

// open does what Prepare does. With renewed, it accepts topics that were
// deleted and created again.
func (s *Sink) open(ctx context.Context, renewed bool) error {
	s.close()
	opts, err := s.options.dial()
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
	// A sink that has lost the destination to another one does not take it back
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
	// From here on, all earlier transactions of this destination are decided.
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

// awaitTopics is readTopics, but waits a while for topics that are new.
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

// adopt compares what is recorded with the topics that are there, and completes
// it.
func (s *Sink) adopt(f *found, renewed bool) error {
	if !f.any {
		for _, name := range tables {
			if !s.topics[name].empty() {
				return &destination.FinalError{Err: fmt.Errorf("the topic %s has records, but %s has no position: they are not ours, or %s was deleted; choose another prefix, or delete the topics %s*",
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
			return &destination.FinalError{Err: fmt.Errorf("the topic %s was deleted and created again; `trackway destinations rewind %s --to beginning` fills it", s.prefix+name, s.name)}
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
		s.claimed = false // if an operator starts us again, we may
		return &destination.FinalError{Err: fmt.Errorf("another process writes to this destination as %s", s.id)}
	}
	return nil
}

// Write writes b in one transaction, with the position. It writes no event a
// second time, and ignores rewritten events: those in the topic stay.
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	switch {
	case s.client == nil:
		return nil, errors.New("the destination is not prepared")
	case s.state.Store != "" && s.state.Store != b.Store:
		return nil, &destination.FinalError{Err: fmt.Errorf("the topic %s has the position of another store", s.prefix+positions)}
	case b.After < b.Through && b.Through <= s.state.Number:
		return s.rejects(b), nil // it was written
	case b.After == b.Through && len(b.Erasures) == 0:
		return nil, nil // nothing but events that cannot be rewritten
	}
	next := s.state
	if b.After < b.Through {
		next.Store, next.Number = b.Store, b.Through
		next.Written = s.state.with(span{b.After, b.Through})
	}
	r := &rows{prefix: s.prefix, topics: s.topics, store: []byte(b.Store)}
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errors.New("the brokers did not take the batch in time"))
	defer cancel()
	if err := s.commit(ctx, &next, s.records(b, r)); err != nil {
		return nil, s.fail(ctx, err)
	}
	return r.rejects, nil
}

// rejects returns the rows of b that do not fit, although b was written.
func (s *Sink) rejects(b *destination.Batch) []destination.Reject {
	r := &rows{prefix: s.prefix, topics: s.topics, store: []byte(b.Store)}
	for i := range b.Events {
		r.event(&b.Events[i])
	}
	for i := range b.Customers {
		r.customer(&b.Customers[i])
	}
	for i := range b.Erasures {
		r.erasure(&b.Erasures[i])
	}
	return r.rejects
}

// records yields the records of b that are to be written.
func (s *Sink) records(b *destination.Batch, r *rows) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		going := true
		for i := 0; going && i < len(b.Events); i++ {
			if !s.state.has(b.Events[i].Seq) {
				going = yield(r.event(&b.Events[i]))
			}
		}
		for i := 0; going && i < len(b.Customers); i++ {
			if b.Customers[i].Changed > s.state.Number { // otherwise the topic has this state, or a newer one
				going = !slices.ContainsFunc(r.customer(&b.Customers[i]), func(record *kgo.Record) bool { return !yield(record) })
			}
		}
		for i := 0; going && i < len(b.Erasures); i++ {
			going = yield(r.erasure(&b.Erasures[i]))
		}
	}
}

// commit writes records and next in one transaction. After an error, it is
// unknown whether they are written until the sink is opened again.
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
	// The client gets itself another epoch if it has lost track of what it
	// sent. Earlier records would not be part of the transaction.
	if id2, epoch2, err := client.ProducerID(ctx); err != nil || id2 != id || epoch2 != epoch {
		return fmt.Errorf("commit a transaction: it was interrupted: %w", errors.Join(err, kerr.OperationNotAttempted))
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("commit a transaction: %w", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// fail closes the client, so that the next use begins with a new epoch, which
// decides what has become of a transaction. It returns err as the engine shall
// see it.
func (s *Sink) fail(ctx context.Context, err error) error {
	s.close()
	if _, final := errors.AsType[*destination.FinalError](err); final {
		return err
	}
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		// Another sink has taken over, or we were asleep for longer than the
		// transaction may take.
		if lost := s.lost(ctx); lost != nil {
			return lost
		}
	}
	return s.options.clean(err)
}

// lost returns a FinalError if another sink has taken over. It returns nil if
// none has, or if that cannot be found out now: then the next open does.
func (s *Sink) lost(ctx context.Context) error {
	opts, err := s.options.dial()
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

// Rewind records another position. Events that are in the topic are not written
// again, unless the topic was deleted and created again.
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
// overwrites it with a tombstone. It uses a transactional id of its own and
// disturbs nobody who writes.
func (s *Sink) Check(ctx context.Context) error {
	return s.options.clean(s.check(ctx))
}

func (s *Sink) check(ctx context.Context) error {
	opts, err := s.options.dial()
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

// contains waits until value can be read after the end of t.
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

// maxBytes is how many bytes a batch of records may have in a topic.
func (s *Sink) maxBytes(full string) int32 {
	for name, t := range s.topics {
		if s.prefix+name == full {
			return int32(max(t.maxBytes, 1<<10)) // at most maxBuffered
		}
	}
	return defaultMaxBytes
}

// partitioner puts rows of one key into the partition that Kafka's own clients
// would choose, among those that the topic had in the beginning.
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

// Partition returns the partition of r among n.
func (p fixedPartitions) Partition(r *kgo.Record, n int) int {
	if p.n > 0 && p.n < n {
		n = p.n
	}
	return p.TopicPartitioner.Partition(r, n)
}
