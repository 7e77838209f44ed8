package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/destination"
)

// The topics, without the prefix.
const (
	events      = "events"
	customers   = "customers"
	customerIDs = "customer_ids"
	customerMap = "customer_map"
	erasures    = "erasures"
	positions   = "positions"
)

// tables are the topics with rows.
var tables = []string{events, customers, customerIDs, customerMap, erasures}

// defaultMaxBytes is the size of a batch of records that a broker accepts by
// default. We use it if we may not read a topic's configuration.
const defaultMaxBytes = 1 << 20

// topic is what a cluster reports about a topic.
type topic struct {
	id         kadm.TopicID
	leaders    []int32 // by partition
	maxBytes   int     // of a batch of records
	start, end []int64 // offsets by partition: the first one, and the one after the last
}

func (t *topic) empty() bool { return slices.Equal(t.start, t.end) }

// settings returns the settings of a new topic. Everything else has the
// broker's defaults, including the retention of the events.
func settings(name string) map[string]string {
	switch name {
	case events:
		return map[string]string{"cleanup.policy": "delete"}
	case positions:
		return map[string]string{"cleanup.policy": "compact", "segment.bytes": strconv.Itoa(16 << 20)}
	}
	// Erased data leaves the broker's files when the topic is compacted. With
	// this setting, that takes a day at most; without it, it could take until
	// enough other records have changed.
	return map[string]string{"cleanup.policy": "compact", "max.compaction.lag.ms": strconv.FormatInt((24 * time.Hour).Milliseconds(), 10)}
}

// DDL returns the commands that create the topics.
func (s *Sink) DDL() string {
	var b strings.Builder
	b.WriteString("# Trackway creates the topics that are missing. These commands do the same.\n")
	for _, name := range append(slices.Clone(tables), positions) {
		fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s", s.options.Brokers[0], s.prefix+name)
		if n := s.newPartitions(name); n > 0 {
			fmt.Fprintf(&b, " --partitions %d", n)
		}
		if s.options.Replication > 0 {
			fmt.Fprintf(&b, " --replication-factor %d", s.options.Replication)
		}
		set := settings(name)
		for _, key := range []string{"cleanup.policy", "max.compaction.lag.ms", "segment.bytes"} {
			if value, ok := set[key]; ok {
				fmt.Fprintf(&b, " --config %s=%s", key, value)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// newPartitions returns how many partitions a new topic gets; -1 means the
// broker's default. The positions must be one sequence, so they get one
// partition.
func (s *Sink) newPartitions(name string) int32 {
	if name == positions {
		return 1
	}
	return s.options.Partitions
}

// createTopics creates the missing topics.
func (s *Sink) createTopics(ctx context.Context, admin *kadm.Client) error {
	names := make([]string, 0, len(tables)+1)
	for _, name := range append(slices.Clone(tables), positions) {
		names = append(names, s.prefix+name)
	}
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("ask for the topics: %w", err)
	}
	for _, name := range append(slices.Clone(tables), positions) {
		err := details[s.prefix+name].Err
		if err == nil {
			continue
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("ask for the topic %s: %w", s.prefix+name, err)
		}
		set := make(map[string]*string)
		for key, value := range settings(name) {
			set[key] = &value
		}
		_, err = admin.CreateTopic(ctx, s.newPartitions(name), s.options.Replication, set, s.prefix+name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create the topic %s (`trackway destinations ddl` prints the commands for someone who may): %w", s.prefix+name, err)
		}
	}
	return nil
}

// readTopics returns what the cluster reports about all topics, by their names
// without the prefix. It refuses topics that would lose or mix up rows.
func (s *Sink) readTopics(ctx context.Context, client *kgo.Client) (map[string]*topic, error) {
	admin := kadm.NewClient(client)
	topics := make(map[string]*topic)
	names := make([]string, 0, len(tables)+1)
	for _, name := range append(slices.Clone(tables), positions) {
		names = append(names, s.prefix+name)
	}
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask for the topics: %w", err)
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask for the topics' first records: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask for the topics' ends: %w", err)
	}
	for _, full := range names {
		detail := details[full]
		if detail.Err != nil {
			return nil, fmt.Errorf("ask for the topic %s: %w", full, detail.Err)
		}
		t := &topic{id: detail.ID, maxBytes: defaultMaxBytes}
		for n := range int32(len(detail.Partitions)) {
			start, end := starts[full][n], ends[full][n]
			if err := errors.Join(detail.Partitions[n].Err, start.Err, end.Err); err != nil {
				return nil, fmt.Errorf("ask for partition %d of the topic %s: %w", n, full, err)
			}
			t.leaders = append(t.leaders, detail.Partitions[n].Leader)
			t.start = append(t.start, start.Offset)
			t.end = append(t.end, end.Offset)
		}
		topics[strings.TrimPrefix(full, s.prefix)] = t
	}
	if n := len(topics[positions].leaders); n != 1 {
		return nil, &destination.FinalError{Err: fmt.Errorf("the topic %s has %d partitions instead of one, but its records must be in one order", s.prefix+positions, n)}
	}
	return topics, s.readConfigs(ctx, admin, names, topics)
}

// readConfigs adds the configuration to topics. If we may not read it, the
// defaults are used.
func (s *Sink) readConfigs(ctx context.Context, admin *kadm.Client, names []string, topics map[string]*topic) error {
	configs, _ := admin.DescribeTopicConfigs(ctx, names...) // without an answer, it is empty
	for _, config := range configs {
		name := strings.TrimPrefix(config.Name, s.prefix)
		for _, c := range config.Configs {
			switch c.Key {
			case "max.message.bytes":
				if n, err := strconv.Atoi(c.MaybeValue()); err == nil {
					topics[name].maxBytes = min(n, maxBuffered)
				}
			case "cleanup.policy":
				if err := checkPolicy(name, config.Name, c.MaybeValue()); err != nil {
					return &destination.FinalError{Err: err}
				}
			}
		}
	}
	return nil
}

func checkPolicy(name, full, policy string) error {
	if name == events && strings.Contains(policy, "compact") {
		return fmt.Errorf("the topic %s has cleanup.policy=%s: compaction would remove all but the last event of each customer", full, policy)
	}
	if name != events && strings.Contains(policy, "delete") {
		return fmt.Errorf("the topic %s has cleanup.policy=%s instead of compact: rows would vanish after a time", full, policy)
	}
	return nil
}
