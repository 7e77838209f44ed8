package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"trackway/internal/log/group"
	"trackway/internal/sleep"
)

// topic is what the brokers say of the topic.
type topic struct {
	cluster, id string
	partitions  int
	start, end  int64 // offsets: of the first record, and of the one after the last
}

// largest is the size of a batch of records that the brokers must accept.
const largest = batchBytes + 64<<10

// The broker that gets what a member tells has to stamp it.
const stampKey, stampValue = "message.timestamp.type", "LogAppendTime"

// logSettings are the settings of a new topic for a log, and memberSettings
// those of a new one for members.
//
// Deleted records leave the disks of the brokers with their segment. A segment
// ends after segment.ms, when another record comes.
var (
	logSettings = map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
		"max.message.bytes": strconv.Itoa(largest), "segment.ms": strconv.FormatInt(time.Hour.Milliseconds(), 10),
	}
	memberSettings = map[string]string{
		"cleanup.policy": "compact", stampKey: stampValue,
		"segment.bytes": strconv.Itoa(4 << 20), "segment.ms": strconv.FormatInt(time.Hour.Milliseconds(), 10),
	}
)

// topic returns what the brokers say of the topic. It creates topics that are
// missing, and refuses one that could lose entries.
func (l *Log) topic(ctx context.Context) (*topic, error) {
	if err := l.create(ctx, l.o.Topic, int32(l.o.Partitions), logSettings); err != nil {
		return nil, err
	}
	if err := l.create(ctx, Members(l.o.Topic), 1, memberSettings); err != nil {
		return nil, err
	}
	t, copies, err := l.describe(ctx)
	if err != nil {
		return nil, err
	}
	durable, err := l.settings(ctx, copies)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.durable = durable
	l.mu.Unlock()
	starts, err := l.admin.ListStartOffsets(ctx, l.o.Topic)
	if err != nil {
		return nil, fmt.Errorf("ask for the beginning of the topic %s: %w", l.o.Topic, err)
	}
	ends, err := l.admin.ListEndOffsets(ctx, l.o.Topic)
	if err != nil {
		return nil, fmt.Errorf("ask for the end of the topic %s: %w", l.o.Topic, err)
	}
	start, _ := starts.Lookup(l.o.Topic, int32(l.o.Partition))
	end, ok := ends.Lookup(l.o.Topic, int32(l.o.Partition))
	if err := errors.Join(start.Err, end.Err); err != nil || !ok {
		return nil, fmt.Errorf("ask for partition %d of the topic %s: %w", l.o.Partition, l.o.Topic, err)
	}
	t.start, t.end = start.Offset, end.Offset
	return t, nil
}

// describe returns the ids of the topic, and how many copies it has.
func (l *Log) describe(ctx context.Context) (t *topic, copies int, err error) {
	m, err := l.admin.Metadata(ctx, l.o.Topic)
	if err != nil {
		return nil, 0, fmt.Errorf("ask the brokers for the topic %s: %w", l.o.Topic, err)
	}
	d, ok := m.Topics[l.o.Topic]
	p, has := d.Partitions[int32(l.o.Partition)]
	switch {
	case !ok || d.Err != nil:
		return nil, 0, fmt.Errorf("ask the brokers for the topic %s: %w", l.o.Topic, d.Err)
	case len(d.Partitions) < l.o.Partitions:
		if l.known().Begun {
			return nil, 0, refuse("%w: the topic %s has %d partitions, and had %d", ErrWentBack, l.o.Topic, len(d.Partitions), l.o.Partitions)
		}
		return nil, 0, l.rightNumber(&topic{partitions: len(d.Partitions)})
	case !has:
		return nil, 0, fmt.Errorf("the brokers do not name partition %d of the topic %s", l.o.Partition, l.o.Topic)
	case m.Cluster == "" || d.ID == (kadm.TopicID{}):
		return nil, 0, refuse("the brokers do not name their cluster or their topics: a log needs Kafka 2.8 or newer, or Redpanda 24 or newer")
	}
	return &topic{cluster: m.Cluster, id: d.ID.String(), partitions: len(d.Partitions)}, len(p.Replicas), nil
}

// rightNumber refuses a topic for a new log that does not have a partition for
// each of the data. More of them do no harm to a log that has begun: nothing is
// in them.
func (l *Log) rightNumber(t *topic) error {
	if t.partitions == l.o.Partitions {
		return nil
	}
	return refuse("the topic %s has %d partitions, and must have %d, one for each partition of the data (partitions in the configuration): use another topic",
		l.o.Topic, t.partitions, l.o.Partitions)
}

// create creates a topic that does not exist, and waits until it has a leader.
func (l *Log) create(ctx context.Context, name string, partitions int32, settings map[string]string) error {
	for first := true; ; first = false {
		found, err := l.admin.ListTopics(ctx, name)
		if err == nil {
			err = found[name].Err
		}
		switch {
		case err == nil && len(found[name].Partitions) > 0:
			return nil
		case err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition):
			return fmt.Errorf("ask the brokers for the topic %s: %w", name, err)
		case first && name == l.o.Topic && l.known().Begun:
			return refuse("%w: there is no topic %s any more", ErrWentBack, name)
		case first:
			if err := l.createNow(ctx, name, partitions, settings); err != nil {
				return err
			}
		}
		if err := sleep.For(ctx, againPause); err != nil {
			return err
		}
	}
}

func (l *Log) createNow(ctx context.Context, name string, partitions int32, settings map[string]string) error {
	set := make(map[string]*string)
	for key, value := range settings {
		set[key] = &value
	}
	if l.o.Brokers.Replication > 1 && name == l.o.Topic {
		least := strconv.Itoa(int(l.o.Brokers.Replication/2) + 1)
		set["min.insync.replicas"] = &least
	}
	_, err := l.admin.CreateTopic(ctx, partitions, l.o.Brokers.Replication, set, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create the topic %s with %s: %w", name, inWords(settings), err)
	}
	return nil
}

func inWords(settings map[string]string) string {
	all := make([]string, 0, len(settings))
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		all = append(all, key+"="+settings[key])
	}
	return strings.Join(all, " ")
}

// settings checks that the topic loses no entries by its settings, and returns
// in words how durable an acknowledged entry is.
func (l *Log) settings(ctx context.Context, copies int) (durable string, err error) {
	members := Members(l.o.Topic)
	described, err := l.admin.DescribeTopicConfigs(ctx, l.o.Topic, members)
	if err != nil {
		return "", fmt.Errorf("ask for the settings of the topic %s: %w", l.o.Topic, err)
	}
	is, redpanda := make(map[string]string), false
	for _, d := range described {
		if d.Err != nil {
			return "", fmt.Errorf("ask for the settings of the topic %s: %w", d.Name, d.Err)
		}
		for _, c := range d.Configs {
			if d.Name == members {
				if c.Key == stampKey && c.MaybeValue() != stampValue {
					return "", refuse("the topic %s has %s=%s, and must have %s: clocks are compared with what the brokers stamp", members, c.Key, c.MaybeValue(), stampValue)
				}
				continue
			}
			is[c.Key] = c.MaybeValue()
			redpanda = redpanda || strings.HasPrefix(c.Key, "redpanda.")
		}
	}
	wrong := wrongSettings(is, copies, redpanda)
	if len(wrong) > 0 {
		return "", refuse("the topic %s could lose entries, or cannot hold them: %s", l.o.Topic, strings.Join(wrong, "; "))
	}
	return durability(is, copies, redpanda), nil
}

// wrongSettings says what is wrong with the settings of a topic for a log.
func wrongSettings(is map[string]string, copies int, redpanda bool) (wrong []string) {
	need := func(key, want, why string) {
		if value, ok := is[key]; ok && value != want {
			wrong = append(wrong, fmt.Sprintf("%s is %s, and must be %s (%s)", key, value, want, why))
		}
	}
	need("cleanup.policy", "delete", "compaction removes entries")
	need("retention.ms", "-1", "entries are removed by age")
	need("retention.bytes", "-1", "entries are removed when there are many")
	need("unclean.leader.election.enable", "false", "a broker that lacks entries may lead")
	if n, err := strconv.Atoi(is["max.message.bytes"]); err == nil && n < largest {
		wrong = append(wrong, fmt.Sprintf("max.message.bytes is %d, and must be at least %d (an entry has up to %d MiB)", n, largest, group.MaxEntry>>20))
	}
	if n, err := strconv.Atoi(is["min.insync.replicas"]); err == nil && copies > 1 && n < 2 && !redpanda {
		wrong = append(wrong, fmt.Sprintf("min.insync.replicas is %d, and must be at least 2 (the topic has %d copies, and an entry that one broker has is lost with it)", n, copies))
	}
	return wrong
}

// durability says in words where an acknowledged entry is.
func durability(is map[string]string, copies int, redpanda bool) string {
	least := 1
	if n, err := strconv.Atoi(is["min.insync.replicas"]); err == nil {
		least = min(n, copies)
	}
	onDisk := is["flush.messages"] == "1"
	if redpanda {
		least, onDisk = copies/2+1, is["write.caching"] != "true"
	}
	where := "in the memory"
	if onDisk {
		where = "on the disk"
	}
	if copies == 1 {
		return where + " of the one broker that has the topic"
	}
	return fmt.Sprintf("%s of at least %d brokers, of %d that have the topic", where, least, copies)
}

// Durability says in words where an acknowledged entry is, besides in the
// memory of the server that has acknowledged it; empty: that is not known yet.
func (l *Log) Durability() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// checkEach is how often the topic is looked at again.
const checkEach = 10 * time.Second

// check looks again and again whether the topic is still the same one, with
// settings that lose nothing. The server that leads deletes what nobody needs.
func (l *Log) check() {
	for sleep.For(l.ctx, checkEach) == nil {
		if !l.known().Begun {
			continue
		}
		ctx, cancel := context.WithTimeout(l.ctx, askTime)
		t, copies, err := l.describe(ctx)
		if err == nil {
			err = l.recognize(ctx, t)
		}
		if err == nil {
			var durable string
			if durable, err = l.settings(ctx, copies); err == nil {
				l.mu.Lock()
				l.durable = durable
				l.mu.Unlock()
			}
		}
		if stop, is := errors.AsType[refusal](err); is {
			l.fatal(stop.error)
		}
		if _, leads := l.Leading(); leads && err == nil {
			if err := l.trim(ctx); err != nil {
				l.o.Log.Warn("no records that all servers have applied could be deleted", "err", l.o.Brokers.Clean(err))
			}
		}
		cancel()
	}
}
