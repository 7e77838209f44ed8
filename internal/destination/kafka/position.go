package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"trackway/internal/destination"
	"trackway/internal/sleep"
)

// state is the value of a destination's record in the topic positions. It is
// part of each transaction.
type state struct {
	Store  string `json:"store"`  // the position
	Number uint64 `json:"number"` // of it

	// Instance is the sink that wrote the record. A sink that finds another
	// instance here has been replaced.
	Instance string `json:"instance"`

	// Written lists the numbers of the events that are in the topic events.
	// These events are not written again after a rewind.
	Written []span `json:"written"`

	Topics map[string]topicState `json:"topics"` // the topics with rows, as they were in the beginning
}

// topicState describes a topic as it was when the first rows were written to
// it.
type topicState struct {
	ID string `json:"id"` // if the topic has another id now, it was deleted and created again

	// Partitions is the number of partitions. Rows stay within these even if
	// partitions are added. Otherwise an old row of a customer would remain in
	// its old partition.
	Partitions int32 `json:"partitions"`
}

// checkKey begins the keys of Check's records. No destination can have such a
// name.
const checkKey = "check/"

// span is a range of numbers: above the first, up to and including the second.
type span [2]uint64

// has reports whether the event with number n has been written.
func (st *state) has(n uint64) bool {
	i, _ := slices.BinarySearchFunc(st.Written, n, func(s span, n uint64) int {
		if s[1] < n {
			return -1
		}
		return 1
	})
	return i < len(st.Written) && st.Written[i][0] < n
}

// with returns the spans of st and add, merged where they touch.
func (st *state) with(add span) []span {
	var joined []span
	all := append(slices.Clone(st.Written), add)
	slices.SortFunc(all, func(a, b span) int {
		if a[0] < b[0] {
			return -1
		}
		return 1
	})
	for _, s := range all {
		if n := len(joined); n > 0 && s[0] <= joined[n-1][1] {
			joined[n-1][1] = max(joined[n-1][1], s[1])
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

func (st *state) position() destination.Position {
	return destination.Position{Store: st.Store, Number: st.Number}
}

// record returns st as a record of the destination with the given name.
func (st *state) record(topic, name string) *kgo.Record {
	value, err := json.Marshal(st)
	if err != nil {
		panic("bug: a position is not JSON: " + err.Error())
	}
	return &kgo.Record{Topic: topic, Key: []byte(name), Value: value}
}

// found is the content of the topic positions.
type found struct {
	state
	ours bool // there is a record of this destination
	any  bool // there is a record of some destination
}

// note takes a record of the topic into account.
func (f *found) note(r *kgo.Record, name string) error {
	f.any = f.any || !strings.HasPrefix(string(r.Key), checkKey)
	if string(r.Key) != name {
		return nil
	}
	f.state, f.ours = state{}, r.Value != nil
	if r.Value == nil {
		return nil
	}
	return json.Unmarshal(r.Value, &f.state)
}

// readState reads the destination's last committed record. With settle, it
// first waits until every transaction that is open now has ended. This is
// necessary because a committed record cannot be read while an earlier record
// belongs to an open transaction, even one of another destination.
func (s *Sink) readState(ctx context.Context, client *kgo.Client, t *topic, settle bool) (found, error) {
	var f found
	end := t.end[0]
	for at := t.start[0]; at < end; {
		records, next, stable, err := s.fetch(ctx, client, positions, t, 0, at)
		if err != nil {
			return f, err
		}
		for _, r := range records {
			if err := f.note(r, s.name); err != nil {
				return f, &destination.FinalError{Err: fmt.Errorf("the topic %s has a record that is not ours: %w", s.prefix+positions, err)}
			}
		}
		if next > at {
			at = next
			continue
		}
		if stable >= end || !settle {
			break // the records between at and the end were compacted, or may not be read yet
		}
		if err := sleep.For(ctx, pollEvery); err != nil {
			return f, fmt.Errorf("an open transaction in the topic %s has not ended: %w", s.prefix+positions, err)
		}
	}
	return f, nil
}

// fetch reads committed records of a partition from an offset on. It returns
// the records, the offset after them, and the offset up to which all
// transactions have ended. Even without records, next may be higher than at.
func (s *Sink) fetch(ctx context.Context, client *kgo.Client, table string, t *topic, partition int32, at int64) (records []*kgo.Record, next, stable int64, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(fetchWait / time.Millisecond)
	req.MinBytes, req.MaxBytes = 1, fetchBytes
	req.IsolationLevel = 1 // read committed
	req.SessionEpoch = -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = s.prefix+table, t.id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, at, fetchBytes
	rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = -1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := client.Broker(int(t.leaders[partition])).RetriableRequest(ctx, req)
	if err != nil {
		return nil, at, 0, fmt.Errorf("read the topic %s: %w", s.prefix+table, err)
	}
	resp := answer.(*kmsg.FetchResponse) // the answer type of kgo to this kind of request
	err = kerr.ErrorForCode(resp.ErrorCode)
	if err == nil && (len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1) {
		err = errors.New("the answer has no partition")
	}
	if err != nil {
		return nil, at, 0, fmt.Errorf("read the topic %s: %w", s.prefix+table, err)
	}
	part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: s.prefix + table, Partition: partition,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if part.Err != nil {
		return nil, at, 0, fmt.Errorf("read partition %d of the topic %s: %w", partition, s.prefix+table, part.Err)
	}
	return part.Records, next, part.LastStableOffset, nil
}
