package e2e

import (
	"context"
	"flag"
	"fmt"
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

// The data of TestKafkaLog has a project in each of its partitions: a new one
// goes to the partition with the fewest.
const kafkaPartitions = 8

// manyProjects is a configuration with projects whose keys [server.ask] uses.
func manyProjects() string {
	var b strings.Builder
	fmt.Fprintf(&b, "server: {name: %s}\npartitions: %d\nprojects:\n", serverName, kafkaPartitions)
	for i := range kafkaPartitions {
		fmt.Fprintf(&b, "  - {name: p%d, token: %s, identifiers: {hard: [registered], soft: [cookie]},\n"+
			"     keys: [{name: k, kind: private, id: key-%d, secret: %s}]}\n", i, partitionToken(i), i, partitionSecret(i))
	}
	return b.String() + wideLimits
}

// projectWriter sends to one project, and knows what was acknowledged.
type projectWriter struct {
	project, made int
	acked         []string
	unknown       []namedRequest // without an answer, or with one that asks to come back
}

// namedRequest is kept so that it can be sent again as it was.
type namedRequest struct {
	body  obj
	names []string // of its events
}

// send sends the next request, and reports whether it was acknowledged.
func (w *projectWriter) send(ctx context.Context, t *testing.T, s *server) bool {
	t.Helper()
	r := w.next()
	status, answer, err := s.ask(ctx, w.project, "/track/v2/projects/{token}/batch", r.body)
	if err == nil && status == http.StatusOK && allStored(answer, len(r.names)) {
		w.acked = append(w.acked, r.names...)
		return true
	}
	if err == nil && status != http.StatusServiceUnavailable {
		t.Errorf("project %d: got status %d, %v", w.project, status, answer)
	}
	w.unknown = append(w.unknown, r)
	return false
}

// allStored reports whether the answer to a batch says that it is stored.
func allStored(answer obj, n int) bool {
	results, _ := answer["results"].([]any)
	return len(results) == n && !slices.ContainsFunc(results, func(r any) bool { one, _ := r.(obj); return one["success"] != true })
}

// next returns one event or, every fourth time, a batch. Some are of visitors
// who then turn out to be somebody.
func (w *projectWriter) next() (r namedRequest) {
	count := 1
	if len(w.acked)%4 == 3 {
		count = 10
	}
	var commands []obj
	for range count {
		name, ids := fmt.Sprintf("p%d-%d", w.project, w.made), obj{"registered": fmt.Sprintf("person-%d", w.made%7)}
		cookie := fmt.Sprintf("visit-%d", w.made/3)
		switch w.made % 3 {
		case 0:
			ids = obj{"cookie": cookie}
		case 1:
			ids["cookie"] = cookie
		}
		commands = append(commands, obj{"name": "customers/events", "data": obj{
			"customer_ids": ids, "event_type": "load", "timestamp": loadTime + float64(w.made)/8, "properties": obj{"name": name},
		}})
		r.names = append(r.names, name)
		w.made++
	}
	r.body = obj{"commands": commands}
	return r
}

// check compares what a server has of the project with what was acknowledged.
// Then it sends all unanswered requests twice more.
func (w *projectWriter) check(t *testing.T, s *server) {
	t.Helper()
	stored := names(t, s.run(t, 0, "export", "--events", "--project", w.name()), "load")
	compare(t, "acknowledged", w.acked, stored, 1)
	var unknown []string
	for _, r := range w.unknown {
		unknown = append(unknown, r.names...)
	}
	compare(t, "not acknowledged", unknown, stored, 0)
	for _, r := range w.unknown {
		for range 2 {
			status, answer, err := s.ask(t.Context(), w.project, "/track/v2/projects/{token}/batch", r.body)
			// The connections to the broker may have just been lost.
			for end := time.Now().Add(patience); status == http.StatusServiceUnavailable && time.Now().Before(end); {
				_ = sleep.For(t.Context(), time.Second)
				status, answer, err = s.ask(t.Context(), w.project, "/track/v2/projects/{token}/batch", r.body)
			}
			if err != nil || status != http.StatusOK || !allStored(answer, len(r.names)) {
				t.Errorf("sent again: got %d, %v, %v", status, answer, err)
			}
		}
	}
	w.acked, w.unknown = append(w.acked, unknown...), nil
}

// checkEqual checks that both servers have the same of the project, and each
// event of it once.
func (w *projectWriter) checkEqual(t *testing.T, servers []*server) {
	t.Helper()
	all := servers[0].run(t, 0, "export", "--project", w.name())
	if other := servers[1].run(t, 0, "export", "--project", w.name()); other != all {
		t.Errorf("project %d: the servers have %d and %d bytes, which are not the same", w.project, len(all), len(other))
	}
	stored := names(t, all, "load")
	compare(t, "acknowledged or sent again", w.acked, stored, 1)
	if len(stored) != len(w.acked) {
		t.Errorf("project %d: %d events are stored, want %d", w.project, len(stored), len(w.acked))
	}
}

func (w *projectWriter) name() string { return fmt.Sprint("p", w.project) }

// TestKafkaLog: two servers with eight partitions have their logs in a broker
// of Kafka. In each round, servers, the broker, or all of them are killed, or
// the broker hangs, while clients send to both. Everything acknowledged is
// stored once on both servers, which are equal. In the end the broker gets its
// disk of some time ago, and both servers stop. The flag -kafka-rounds sets the
// number of rounds.
func TestKafkaLog(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := kafkatest.Start(t)
	c := prepareCluster(t, 2)
	c.kafka, c.whole = b.URL(), manyProjects
	c.begin()
	writers := make([]*projectWriter, kafkaPartitions)
	for i := range writers {
		writers[i] = &projectWriter{project: i}
	}
	var restore func()
	for round := range *kafkaRounds {
		servers, kind := slices.Clone(c.servers), (round+int(seed%6))%6
		killed, broker := map[int]bool{0: kind != 1 && kind != 3, 1: kind == 1 || kind == 2 || kind == 4}, kind == 3 || kind == 4
		if kind == 3 || kind == 5 { // the broker alone
			killed = nil
		}
		t.Logf("round %d: kind %d, servers %v, broker %v", round, kind, killed, broker)
		sendAmid(t, writers, servers, 1+random.Int64N(300), func() {
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
		c.settlePartitions()
		again := 0
		for i, w := range writers {
			again += len(w.unknown)
			w.check(t, c.servers[(round+i)%2])
		}
		c.settlePartitions()
		events := 0
		for _, w := range writers {
			w.checkEqual(t, c.servers)
			events += len(w.acked)
		}
		t.Logf("%d events, %d requests sent again", events, again)
		if t.Failed() {
			return
		}
		if round == 0 {
			b.Kill()
			restore = b.Save(t)
			b.Run(t)
			c.awaitServing()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, w := range writers { // each partition has a little more
		for !w.send(ctx, t, c.servers[0]) { // it may just find that its connections to the broker have ended
			if sleep.For(ctx, lookAgain) != nil {
				t.Fatal("the last events were not stored")
			}
		}
	}
	b.Kill()
	restore()
	b.Run(t)
	for _, s := range c.servers {
		s.log.mayHold("the log went back")
		if code := s.await(t, patience); code != 1 || !strings.Contains(s.log.all(), "the log went back") {
			t.Errorf("it ended with %d:\n%s", code, s.log)
		}
	}
}

// sendAmid has all writers send, each to one server. After some requests it
// calls disturb. A writer ends after that, or when a request is not
// acknowledged.
func sendAmid(t *testing.T, writers []*projectWriter, servers []*server, more int64, disturb func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var acks atomic.Int64
	var stop atomic.Bool
	enough := make(chan struct{})
	var clients sync.WaitGroup
	for i, w := range writers {
		clients.Go(func() {
			for !stop.Load() {
				switch {
				case w.send(ctx, t, servers[i%len(servers)]):
					if acks.Add(1) == more {
						close(enough)
					}
				case acks.Load() >= more || sleep.For(ctx, lookAgain) != nil:
					return // before the disturbance, a server may just have been busy
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Errorf("%d requests were acknowledged, want %d", acks.Load(), more)
	}
	disturb()
	stop.Store(true)
	clients.Wait()
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
		if got := c.servers[n%2].again(t, visitOf(t, n)); !got.success() {
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
	erased := c.servers[0].again(t, request{
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
	if got := c.servers[2].again(t, visitOf(t, 100)); !got.success() {
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
