package e2e

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/destination/kafka/kafkatest"
	"trackway/internal/sleep"
)

var kafkaRounds = flag.Int("kafka-rounds", 1, "how many `rounds` TestKafkaLog makes; the full size is 50")

// newKafkaCluster starts servers whose log is in a broker.
func newKafkaCluster(t *testing.T, n int) (*cluster, *kafkatest.Broker) {
	t.Helper()
	b := kafkatest.Start(t)
	c := prepareCluster(t, n)
	c.kafka = b.URL()
	c.begin()
	return c, b
}

// sendAmid has all clients send, each to one server. After some requests it
// calls disturb. A client ends after that, or when a request is not
// acknowledged.
func (l *load) sendAmid(t *testing.T, servers []*server, more int64, disturb func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	target, stop := l.acks.Load()+more, atomic.Bool{}
	enough := make(chan struct{})
	var clients sync.WaitGroup
	for i := range l.clients {
		clients.Go(func() {
			for !stop.Load() && l.send(ctx, t, servers[i%len(servers)], i) {
				if l.acks.Add(1) == target {
					close(enough)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Errorf("%d requests were acknowledged, want %d", l.acks.Load(), target)
	}
	disturb()
	stop.Store(true)
	clients.Wait()
}

// TestKafkaLog: two servers have their log in a broker of Kafka. In each round,
// servers, the broker, or all of them are killed, or the broker hangs, while
// clients send to both. Everything acknowledged is stored once on both servers,
// which are equal. The flag -kafka-rounds sets the number of rounds.
func TestKafkaLog(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c, b := newKafkaCluster(t, 2)
	var l load
	for round := range *kafkaRounds {
		servers, kind := slices.Clone(c.servers), (round+int(seed%6))%6
		killed, broker := map[int]bool{0: kind != 1 && kind != 3, 1: kind == 1 || kind == 2 || kind == 4}, kind == 3 || kind == 4
		if kind == 3 || kind == 5 { // the broker alone
			killed = nil
		}
		t.Logf("round %d: kind %d, servers %v, broker %v", round, kind, killed, broker)
		l.sendAmid(t, servers, 1+random.Int64N(300), func() {
			for i, s := range servers {
				if killed[i] {
					s.kill(t)
				}
			}
			if broker {
				b.Kill()
				_ = sleep.For(t.Context(), time.Duration(random.IntN(1000))*time.Millisecond)
				b.Run(t)
			}
			if kind == 5 {
				b.Hang(t, time.Duration(random.IntN(25))*time.Second)
			}
		})
		for i := range servers {
			if killed[i] {
				c.start(i)
				c.servers[i].awaitReady(t)
			}
		}
		c.awaitServing()
		l.check(t, c.servers[round%2])
		c.settle()
		compareAcknowledged(t, &l, c.servers[1-round%2])
		for _, what := range []string{"--events", "--customers"} {
			if a, b := c.servers[0].run(t, 0, "export", what), c.servers[1].run(t, 0, "export", what); a != b || a == "" {
				t.Errorf("export %s: the servers have %d and %d bytes, which are not the same", what, len(a), len(b))
			}
		}
		if t.Failed() {
			return
		}
	}
}

// awaitServing waits until all servers take requests.
func (c *cluster) awaitServing() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for _, s := range c.servers {
		await(ctx, c.t, func() bool {
			status, _ := get(c.t, s.ops, "/-/ready")
			return status == 200
		})
	}
}

// TestKafkaLogMembers: erased data leaves the topic once all servers have
// applied the erasure. A server that starts later gets the state of another
// one. All of them stop when the topic is another one.
func TestKafkaLogMembers(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	c := prepareCluster(t, 3)
	c.kafka = b.URL()
	late := c.dirs[2]
	c.dirs, c.servers = c.dirs[:2], c.servers[:2]
	c.begin()
	for n := range 10 {
		if got := c.servers[n%2].do(t, visitOf(t, n)); !got.success() {
			t.Fatal(got)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(b.URL(), "kafka://")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	before := firstOffset(t, admin)
	erased := c.servers[0].do(t, request{
		path: "/data/v2/projects/{token}/customers/anonymize",
		body: encode(t, map[string]any{"customer_ids": map[string]any{"registered": "person-1"}}),
	})
	if !erased.success() {
		t.Fatal(erased)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(ctx, t, func() bool { return firstOffset(t, admin) > before })

	c.dirs, c.servers = append(c.dirs, late), append(c.servers, nil)
	c.start(2)
	c.servers[2].awaitReady(t)
	c.awaitServing()
	if !strings.Contains(c.servers[2].log.all(), "has received the state of another one") {
		t.Error("the new server did not get a state")
	}
	if got := c.servers[2].do(t, visitOf(t, 100)); !got.success() {
		t.Fatal(got)
	}
	c.settle()
	want := c.servers[0].run(t, 0, "export")
	for _, s := range c.servers[1:] {
		if got := s.run(t, 0, "export"); got != want {
			t.Errorf("a server has\n%s, want\n%s", got, want)
		}
	}

	for _, s := range c.servers {
		if code := s.stop(t); code != 0 {
			t.Errorf("it ended with %d", code)
		}
	}
	if _, err := admin.DeleteTopic(t.Context(), "trackway"); err != nil {
		t.Fatal(err)
	}
	for i := range c.servers {
		c.start(i)
		c.servers[i].log.mayHold("the log went back")
		if code := c.servers[i].await(t, patience); code != 1 || !strings.Contains(c.servers[i].log.all(), "the log went back") {
			t.Errorf("it ended with %d:\n%s", code, c.servers[i].log)
		}
	}
}

// TestKafkaLogReads: servers whose log is in a broker show what others have
// acknowledged, give the same tags, and list each other. Without the broker
// they show what they have, stop, and start.
func TestKafkaLogReads(t *testing.T) {
	t.Parallel()
	c, b := newKafkaCluster(t, 2)
	readAtPositions(t, c, "person-1")
	compareTags(t, c)
	listMembers(t, c)
	b.Kill()
	const path = "/api/projects/{token}/customers"
	if got := c.servers[0].do(t, request{path: path}); got.status != http.StatusOK {
		t.Errorf("without the broker: got %v", got)
	}
	if got := c.servers[0].do(t, request{path: path + "?consistency=strong"}); got.status != http.StatusServiceUnavailable {
		t.Errorf("a strong reader without the broker: got %v", got)
	}
	began := time.Now()
	if code := c.servers[0].stop(t); code != 0 || time.Since(began) > 15*time.Second {
		t.Errorf("without the broker, it ended with %d after %v", code, time.Since(began))
	}
	for i := range c.servers {
		c.start(i)
	}
	_ = sleep.For(t.Context(), 10*time.Second)
	b.Run(t)
	for _, s := range c.servers {
		s.awaitReady(t)
	}
	c.awaitServing()
	readAtPositions(t, c, "person-after")
}

// firstOffset returns the offset of the first record in the log.
func firstOffset(t *testing.T, admin *kadm.Client) int64 {
	t.Helper()
	starts, err := admin.ListStartOffsets(t.Context(), "trackway")
	if err != nil {
		t.Fatal(err)
	}
	start, _ := starts.Lookup("trackway", 0)
	return start.Offset
}
