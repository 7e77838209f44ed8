package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

const storeID = "00112233445566778899aabbccddeeff"

// cluster is a Kafka in this process. It can lose answers.
type cluster struct {
	*kfake.Cluster

	lose atomic.Bool // lose the next answer, and the connection with it
}

func newCluster(t *testing.T, opts ...kfake.Opt) *cluster {
	t.Helper()
	c := &cluster{}
	fake, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.DefaultNumPartitions(3),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return losing{l, c}, err
		}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c.Cluster = fake
	return c
}

type losing struct {
	net.Listener

	c *cluster
}

func (l losing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return losingConn{conn, l.c}, err
}

type losingConn struct {
	net.Conn

	c *cluster
}

func (l losingConn) Write(b []byte) (int, error) {
	if l.c.lose.CompareAndSwap(true, false) {
		return 0, l.Close()
	}
	return l.Conn.Write(b)
}

func (c *cluster) url() string { return "kafka://" + strings.Join(c.ListenAddrs(), ",") }

// sink returns a new sink, not prepared.
func newSink(t *testing.T, url, name, prefix string) *Sink {
	t.Helper()
	s, err := New(&config.Destination{Name: name, Kind: "kafka", URL: url, Prefix: prefix}, storeID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// prepare prepares s, and checks the position.
func prepare(t *testing.T, s *Sink, number uint64) {
	t.Helper()
	want := destination.Position{}
	if number > 0 {
		want = destination.Position{Store: storeID, Number: number}
	}
	if got, err := s.Prepare(t.Context()); err != nil || got != want {
		t.Fatalf("the position is %v, want %v: %v", got, want, err)
	}
}

// write writes b as the engine does: after an error, it prepares s and checks
// the position. (About one transaction in fifty fails with an error about
// sequence numbers, from the fake or the client.)
func write(t *testing.T, s *Sink, b *destination.Batch) {
	t.Helper()
	for range 3 {
		rejects, err := s.Write(t.Context(), b)
		if err == nil && len(rejects) == 0 {
			return
		}
		t.Logf("rejects %v: %v", rejects, err)
		if isFinal(err) {
			break
		}
		if _, err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the batch cannot be written")
}

// batch returns a batch with an event for each number from after+1 to through.
func batch(after, through uint64) *destination.Batch {
	b := &destination.Batch{Store: storeID, After: after, Through: through}
	for n := after + 1; n <= through; n++ {
		b.Events = append(b.Events, event(n, trackway.Customer(n%5+1)))
	}
	return b
}

func event(n uint64, c trackway.Customer) destination.Event {
	return destination.Event{
		Seq: n, Project: "demo", Customer: c, Type: "page_view",
		At: trackway.Micros(1_700_000_000_000_000 + n), Received: 1_700_000_000_000_001,
		Properties: fmt.Appendf(nil, `{"n":%d,"text":"ä\n"}`, n),
	}
}

// row is a committed record as a consumer gets it.
type row struct {
	topic, key string
	partition  int32
	value      map[string]any // nil: a tombstone
	raw        []byte
}

// consume reads all committed records, by topic, in the order of each
// partition. It does not use our own code.
func consume(t *testing.T, url, prefix string) map[string][]row {
	t.Helper()
	brokers := strings.Split(strings.TrimPrefix(url, "kafka://"), ",")
	names := []string{events, customers, customerIDs, customerMap, erasures}
	full := make([]string, 0, len(names))
	for _, name := range names {
		full = append(full, prefix+name)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(full...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// A commit is answered before all partitions have the markers of the
	// transaction.
	var ends kadm.ListedOffsets
	for settled := false; !settled; {
		all, err := kadm.NewClient(client).ListEndOffsets(ctx, full...)
		if err != nil {
			t.Fatal(err)
		}
		if ends, err = kadm.NewClient(client).ListCommittedOffsets(ctx, full...); err != nil {
			t.Fatal(err)
		}
		settled = true
		all.Each(func(end kadm.ListedOffset) {
			committed, _ := ends.Lookup(end.Topic, end.Partition)
			settled = settled && committed.Offset == end.Offset
		})
	}
	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, full...)
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]int64)
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(end.Topic, end.Partition); end.Offset > start.Offset {
			open[fmt.Sprint(end.Topic, end.Partition)] = end.Offset
		}
	})
	found := make(map[string][]row)
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		for _, e := range fetches.Errors() {
			t.Fatal(e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			id := fmt.Sprint(r.Topic, r.Partition)
			if r.Offset+1 >= open[id] {
				delete(open, id)
			}
			if r.Attrs.IsControl() {
				return
			}
			w := row{topic: strings.TrimPrefix(r.Topic, prefix), key: string(r.Key), partition: r.Partition, raw: r.Value}
			if r.Value != nil {
				if err := json.Unmarshal(r.Value, &w.value); err != nil {
					t.Fatal(err)
				}
			}
			if len(r.Headers) != 2 || len(r.Headers[0].Value) != len(storeID) || len(r.Headers[1].Value) == 0 {
				t.Errorf("headers %v", r.Headers)
			}
			found[w.topic] = append(found[w.topic], w)
		})
	}
	return found
}

// seqs returns the sequence numbers in the topic events, sorted. In each
// partition, a customer's events must be in order, unless anyOrder is set.
func seqs(t *testing.T, url, prefix string, anyOrder bool) []uint64 {
	t.Helper()
	var all []uint64
	last := make(map[string]uint64)
	partition := make(map[string]int32)
	for _, r := range consume(t, url, prefix)[events] {
		n := uint64(r.value["seq"].(float64))
		if p, ok := partition[r.key]; ok && p != r.partition {
			t.Errorf("the events of customer %s are in partitions %d and %d", r.key, p, r.partition)
		}
		if !anyOrder && n <= last[r.key] {
			t.Errorf("event %d of customer %s comes after %d", n, r.key, last[r.key])
		}
		partition[r.key], last[r.key] = r.partition, n
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// wantEvents checks that the topic has each event up to n exactly once.
func wantEvents(t *testing.T, url, prefix string, n uint64) {
	t.Helper()
	got := seqs(t, url, prefix, false)
	var want []uint64
	for i := uint64(1); i <= n; i++ {
		want = append(want, i)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the events are %v, want 1 to %d", got, n)
	}
}

// addPartitions adds n partitions to a topic.
func addPartitions(t *testing.T, broker, topic string, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreatePartitions(t.Context(), n, topic); err != nil {
		t.Fatal(err)
	}
}
