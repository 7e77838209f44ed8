package kafka

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

func isFinal(err error) bool {
	_, final := errors.AsType[*destination.FinalError](err)
	return final
}

// TestRows checks the records of each kind of row.
func TestRows(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "t.")
	prepare(t, s, 0)
	write(t, s, &destination.Batch{
		Store: storeID, After: 0, Through: 9,
		Events: []destination.Event{event(2, 5), event(3, 7)},
		Customers: []destination.Customer{
			{Customer: 5, Project: "demo", IDs: []trackway.Identifier{{Name: "email", Value: `a"b`}, {Name: "cookie", Value: "x"}}, Properties: []byte(`{"a":1}`), Created: 1_000_000, Changed: 4},
			{Customer: 7, Project: "demo", Survivor: 5, Properties: []byte(`{}`), Changed: 5},
			{Customer: 8, Project: "demo", Properties: []byte(`{}`), Changed: 6, Erased: true},
		},
		Rewritten: []destination.Event{event(1, 8)},
		Erasures:  []destination.Erasure{{ID: 3, Project: "demo", Customer: 8, Asked: 2_500_000}},
	})
	write(t, s, &destination.Batch{Store: storeID, After: 9, Through: 9, Rewritten: []destination.Event{event(2, 5)}})
	write(t, s, &destination.Batch{Store: storeID, After: 9, Through: 9, Erasures: []destination.Erasure{{ID: 3, Project: "demo", Customer: 8, Asked: 2_500_000, Done: 3_000_000}}})

	got := consume(t, c.url(), "t.")
	for _, test := range []struct {
		topic string
		want  []string
	}{
		{events, []string{
			`5 map[at:2023-11-14T22:13:20.000002Z customer:5 project:demo properties:map[n:2 text:ä` + "\n" + `] received_at:2023-11-14T22:13:20.000001Z seq:2 type:page_view]`,
			`7 map[at:2023-11-14T22:13:20.000003Z customer:7 project:demo properties:map[n:3 text:ä` + "\n" + `] received_at:2023-11-14T22:13:20.000001Z seq:3 type:page_view]`,
		}},
		{customers, []string{
			`5 map[changed:4 created_at:1970-01-01T00:00:01.000000Z customer:5 erased:false project:demo properties:map[a:1]]`,
			`7 map[]`,
			`8 map[changed:6 created_at:1970-01-01T00:00:00.000000Z customer:8 erased:true project:demo properties:map[]]`,
		}},
		{customerIDs, []string{
			`5 map[changed:4 customer:5 ids:[map[name:email value:a"b] map[name:cookie value:x]] project:demo]`,
			`7 map[]`,
			`8 map[]`,
		}},
		{customerMap, []string{`7 map[changed:5 customer:7 survivor:5]`}},
		{erasures, []string{
			`3 map[asked_at:1970-01-01T00:00:02.500000Z customer:8 done_at:<nil> erasure:3 project:demo]`,
			`3 map[asked_at:1970-01-01T00:00:02.500000Z customer:8 done_at:1970-01-01T00:00:03.000000Z erasure:3 project:demo]`,
		}},
	} {
		var texts []string
		for _, r := range got[test.topic] {
			texts = append(texts, fmt.Sprint(r.key, " ", r.value))
		}
		slices.SortStableFunc(texts, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
		if !slices.Equal(texts, test.want) {
			t.Errorf("%s:\n%s\nwant\n%s", test.topic, strings.Join(texts, "\n"), strings.Join(test.want, "\n"))
		}
	}
	prepare(t, s, 9)
}

// TestOnce repeats batches in all ways that can occur.
func TestOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	write(t, s, batch(0, 10))
	write(t, s, batch(5, 20))
	prepare(t, s, 20)
	write(t, s, batch(5, 20))

	s = newSink(t, c.url(), "out", "")
	prepare(t, s, 20)
	write(t, s, batch(20, 30))
	if err := s.Rewind(t.Context(), destination.Position{Store: storeID, Number: 3}); err != nil {
		t.Fatal(err)
	}
	prepare(t, s, 3)
	write(t, s, batch(3, 33))
	wantEvents(t, c.url(), "", 33)
}

// TestRewindBeforeTheStart begins late, and then sends what came before.
func TestRewindBeforeTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(10, 15))
	for _, to := range []uint64{20, 0} {
		if err := s.Rewind(t.Context(), destination.Position{Store: storeID, Number: to}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Prepare(t.Context()); err != nil || got.Number != to {
			t.Fatalf("the position is %v, want %d: %v", got, to, err)
		}
		write(t, s, batch(to, to+4))
	}
	write(t, s, batch(4, 30))
	if got, want := len(seqs(t, c.url(), "", true)), 30; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	if want := []span{{0, 30}}; !reflect.DeepEqual(s.state.Written, want) {
		t.Errorf("written is %v, want %v", s.state.Written, want)
	}
}

// TestSpans compares state with a set of numbers.
func TestSpans(t *testing.T) {
	t.Parallel()
	var st state
	set := make(map[uint64]bool)
	for _, add := range []span{{10, 15}, {3, 4}, {20, 25}, {15, 16}, {0, 2}, {12, 21}, {30, 31}} {
		st.Written = st.with(add)
		for n := add[0] + 1; n <= add[1]; n++ {
			set[n] = true
		}
		for n := range uint64(40) {
			if st.has(n) != set[n] {
				t.Errorf("after %v: has(%d) is %t, spans %v", add, n, st.has(n), st.Written)
			}
		}
	}
	if len(st.Written) != 4 {
		t.Errorf("spans %v", st.Written)
	}
}

// TestUnknownOutcome loses the commit, or its answer.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, committed := range []bool{false, true} {
		t.Run(fmt.Sprintf("committed=%t", committed), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			s := newSink(t, c.url(), "out", "")
			prepare(t, s, 0)
			write(t, s, batch(0, 10))
			// Nothing passes after the commit, so the client cannot ask again
			// and has to give up.
			var broken, got atomic.Bool
			broken.Store(true)
			for _, key := range []kmsg.Key{kmsg.EndTxn, kmsg.InitProducerID} {
				c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
					c.KeepControl()
					if committed && got.CompareAndSwap(false, true) {
						c.lose.Store(true)
						return nil, nil, false
					}
					return nil, errors.New("broken"), broken.Load()
				})
			}
			want := uint64(10)
			if committed {
				want = 20
			}
			if _, err := s.Write(t.Context(), batch(10, 20)); err == nil || isFinal(err) {
				t.Fatalf("the error is %v", err)
			}
			if _, err := s.Write(t.Context(), batch(10, 20)); err == nil {
				t.Fatal("the sink writes although it does not know what is written")
			}
			broken.Store(false)
			prepare(t, s, want)
			if want == 10 {
				write(t, s, batch(10, 20))
			}
			write(t, s, batch(20, 30))
			wantEvents(t, c.url(), "", 30)
		})
	}
}

// TestZombie lets a second process take over.
func TestZombie(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	old := newSink(t, c.url(), "out", "")
	prepare(t, old, 0)
	write(t, old, batch(0, 10))
	young := newSink(t, c.url(), "out", "")
	prepare(t, young, 10)
	if _, err := old.Write(t.Context(), batch(10, 20)); !isFinal(err) {
		t.Errorf("the error is %v, want a final one", err)
	}
	write(t, young, batch(10, 15))
	wantEvents(t, c.url(), "", 15)

	// An operator may start the old process again.
	prepare(t, old, 15)
	// After any other error, too, the new process may not write, and may not
	// take the destination back.
	young.close()
	if _, err := young.Prepare(t.Context()); !isFinal(err) {
		t.Errorf("the error is %v, want a final one", err)
	}
	write(t, old, batch(15, 20))
	wantEvents(t, c.url(), "", 20)
}

// TestAsleep: the sink is fenced because a transaction took too long, not
// because of another process.
func TestAsleep(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.ProducerFenced.Code
		return resp, nil, true
	})
	if _, err := s.Write(t.Context(), batch(0, 10)); !errors.Is(err, kerr.ProducerFenced) || isFinal(err) {
		t.Fatalf("the error is %v", err)
	}
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	wantEvents(t, c.url(), "", 10)
}

// TestAnothersTransaction: another destination has an open transaction in front
// of the last position. A reader of committed records does not see the
// position.
func TestAnothersTransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	other, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("other"), kgo.DefaultProduceTopic(positions))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := other.ProduceSync(t.Context(), kgo.KeyStringRecord("other", `{}`)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	write(t, s, batch(10, 20))
	fetches := make(chan bool, 1000)
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fetches <- true
		return nil, nil, false
	})
	ended := make(chan error, 1)
	go func() {
		for range 4 {
			<-fetches
		}
		ended <- other.EndTransaction(t.Context(), kgo.TryCommit)
	}()
	prepare(t, newSink(t, c.url(), "out", ""), 20)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestTooLarge rejects rows and writes the others. It reports the rejects again
// if the batch is repeated, because the first report may have been lost.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	limit := s.topics[events].maxBytes
	b := batch(0, 4)
	text := strings.Repeat("secret", limit/6)
	b.Events[1].Properties = fmt.Appendf(nil, `{"a":%q}`, text)
	b.Events[2].Properties = fmt.Appendf(nil, `{"a":%q}`, text[:limit-1000]) // fits
	b.Customers = []destination.Customer{{Customer: 1, Changed: 4, Properties: b.Events[1].Properties}}
	for range 2 {
		rejects, err := s.Write(t.Context(), b)
		if err != nil || len(rejects) != 2 || rejects[0].Number != 2 || rejects[0].Table != events || rejects[1].Table != customers || strings.Contains(rejects[0].Reason, "secret") {
			t.Errorf("rejects %v: %v", rejects, err)
		}
	}
	if got, want := seqs(t, c.url(), "", false), []uint64{1, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// TestLargerThanTheBuffer rejects a row that the topic would accept, but that
// we cannot send. Otherwise this row would block the others forever.
func TestLargerThanTheBuffer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	set := map[string]string{"cleanup.policy": "compact", "max.message.bytes": strconv.Itoa(4 * maxBuffered)}
	if err := c.CreateTopic(customers, 1, set); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	b := batch(0, 2)
	b.Customers = []destination.Customer{{Customer: 1, Changed: 2, Properties: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", maxBuffered))}}
	rejects, err := s.Write(t.Context(), b)
	if err != nil || len(rejects) != 1 || rejects[0].Number != 2 || rejects[0].Table != customers || strings.Contains(rejects[0].Reason, "max.message.bytes") {
		t.Errorf("rejects %v: %v", rejects, err)
	}
	wantEvents(t, c.url(), "", 2)
}

// TestAlteredTopics alters topics by hand.
func TestAlteredTopics(t *testing.T) {
	t.Parallel()
	with := func(policy string) map[string]string { return map[string]string{"cleanup.policy": policy} }
	for _, test := range []struct {
		name  string
		alter func(c *cluster) error
		want  string // in the error; empty: none
	}{
		{"nothing", func(*cluster) error { return nil }, ""},
		{"events deleted", func(c *cluster) error { return c.DeleteTopic(events) }, "deleted and created again"},
		{"customers deleted", func(c *cluster) error { return c.DeleteTopic(customers) }, "deleted and created again"},
		{"positions deleted", func(c *cluster) error { return c.DeleteTopic(positions) }, "has no position"},
		{"records deleted", func(c *cluster) error { return c.DeleteRecords(events, 0, c.PartitionInfo(events, 0).HighWatermark) }, ""},
		{"compacted events", func(c *cluster) error {
			return errors.Join(c.DeleteTopic(events), c.CreateTopic(events, 3, with("compact")))
		}, "compaction would remove"},
		{"customers that vanish", func(c *cluster) error {
			return errors.Join(c.DeleteTopic(customers), c.CreateTopic(customers, 3, with("compact,delete")))
		}, "rows would vanish"},
		{"several partitions of positions", func(c *cluster) error {
			return errors.Join(c.DeleteTopic(positions), c.CreateTopic(positions, 2, with("compact")))
		}, "2 partitions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			s := newSink(t, c.url(), "out", "")
			prepare(t, s, 0)
			write(t, s, batch(0, 10))
			if err := test.alter(c); err != nil {
				t.Fatal(err)
			}
			_, err := s.Prepare(t.Context())
			if test.want == "" && err != nil || test.want != "" && (!isFinal(err) || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("the error is %v, want %q", err, test.want)
			}
			if !strings.HasPrefix(test.want, "deleted") {
				return
			}
			if err := s.Rewind(t.Context(), destination.Position{Store: storeID}); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Prepare(t.Context()); err != nil || got.Number != 0 {
				t.Fatal(got, err)
			}
			write(t, s, batch(0, 12))
			wantEvents(t, c.url(), "", 12)
		})
	}
}

// TestAddedPartitions adds partitions by hand. The rows of a customer must stay
// in one partition.
func TestAddedPartitions(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	addPartitions(t, c.ListenAddrs()[0], events, 17)
	prepare(t, s, 10)
	write(t, s, batch(10, 20))
	wantEvents(t, c.url(), "", 20)
}

// TestForeignTopic refuses topics with records of others.
func TestForeignTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, events))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic(events))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("theirs")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, c.url(), "out", "")
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(t.Context()); !isFinal(err) || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("the error is %v", err)
	}
}

// TestCheck runs a check while a sink writes. The check must leave nothing
// behind.
func TestCheck(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	if err := newSink(t, c.url(), "out", "").Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, batch(10, 20))
	wantEvents(t, c.url(), "", 20)
	c.Compact()
	prepare(t, s, 20)
}

// TestStore refuses the topics of another store.
func TestStore(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	b := batch(10, 20)
	b.Store = "another"
	if _, err := s.Write(t.Context(), b); !isFinal(err) {
		t.Errorf("the error is %v, want a final one", err)
	}
}

// TestTLS trusts only the authority that the URL names.
func TestTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil) // for its certificate, which is of 127.0.0.1
	defer web.Close()
	c := newCluster(t, kfake.TLS(&tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	secure := strings.Replace(c.url(), "kafka://", "kafka+tls://", 1)
	if err := newSink(t, secure+"?ca="+ca, "out", "").Check(t.Context()); err != nil {
		t.Error(err)
	}
	for url, want := range map[string]string{
		secure:  "certificate",
		c.url(): "",
		strings.ReplaceAll(secure, "127.0.0.1", "localhost") + "?ca=" + ca: "certificate",
	} {
		_, err := newSink(t, url, "out", "").Prepare(t.Context())
		if err == nil || isFinal(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", url, err, want)
		}
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "jo", "right"), kfake.Superuser("SCRAM-SHA-256", "jo", "right"), kfake.Superuser("SCRAM-SHA-512", "jo", "right"))
	for _, mechanism := range []string{"", "?sasl=plain", "?sasl=scram-sha-256", "?sasl=scram-sha-512"} {
		url := strings.Replace(c.url(), "://", "://jo:right@", 1) + mechanism
		if err := newSink(t, url, "out", "").Check(t.Context()); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		url = strings.Replace(c.url(), "://", "://jo:wrong-one@", 1) + mechanism
		_, err := newSink(t, url, "out", "").Prepare(t.Context())
		if err == nil || isFinal(err) || strings.Contains(err.Error(), "wrong-one") {
			t.Errorf("%s: the error is %v", mechanism, err)
		}
	}
	s, err := New(&config.Destination{Name: "out", URL: c.url(), User: "jo", Password: "right"}, storeID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStorageError has a broker whose disk fails for a while.
func TestStorageError(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := newSink(t, c.url(), "out", "")
	prepare(t, s, 0)
	write(t, s, batch(0, 10))
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		produce := req.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.KafkaStorageError.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	if _, err := s.Write(t.Context(), batch(10, 20)); err != nil { // the client may have tried again
		prepare(t, s, 10)
		write(t, s, batch(10, 20))
	}
	wantEvents(t, c.url(), "", 20)
}

// TestDDL names each topic once.
func TestDDL(t *testing.T) {
	t.Parallel()
	text := newSink(t, "kafka://jo:secret@a?partitions=6&replication=3", "out", "tw.").DDL()
	want := "kafka-topics.sh --bootstrap-server a:9092 --create --topic tw.customers --partitions 6 --replication-factor 3 --config cleanup.policy=compact --config max.compaction.lag.ms=86400000\n"
	if !strings.Contains(text, want) || strings.Count(text, "--topic") != 6 || strings.Contains(text, "secret") || !strings.Contains(text, "tw.positions --partitions 1 ") {
		t.Errorf("the commands are\n%s", text)
	}
}
