package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/destination/kafka/brokers"
	"trackway/internal/destination/kafka/kafkatest"
	"trackway/internal/entry"
	"trackway/internal/log/logtest"
	"trackway/internal/log/raft/peer"
	"trackway/internal/sleep"
	"trackway/internal/store/digest"
)

// alone is a machine of a test as the only one of its log. It counts entries
// without gaps, as the test expects.
type alone struct {
	*logtest.Machine

	applied atomic.Uint64
}

// Apply implements [Machine].
func (m *alone) Apply(index uint64, e entry.Entry) error {
	once, ok := e.(*entry.Once)
	if !ok {
		return errors.New("it may take effect twice")
	}
	err := m.Machine.Apply(m.Machine.Applied()+1, once.Entry)
	if err == nil {
		m.applied.Store(index)
	}
	return err
}

// Applied implements [Machine].
func (m *alone) Applied() uint64 { return m.applied.Load() }

// A machine that is alone sends its state to no other one.

func (*alone) Checkpoint(string) error      { return errors.New("not expected") }
func (*alone) Check(string) (uint64, error) { return 0, errors.New("not expected") }
func (*alone) CheckFile(string) error       { return errors.New("not expected") }
func (*alone) Replace(string) error         { return errors.New("not expected") }
func (*alone) Keyed() bool                  { return false }

// Its state is compared with that of no other one.

func (*alone) Digests() []digest.Digest { return nil }
func (*alone) Adopt(uint64, []byte)     {}

// blocking is a log that is never in a hurry.
type blocking struct{ *Log }

func (b blocking) Append(e entry.Entry) error { return b.Log.Append(context.Background(), e) }
func (b blocking) Close()                     { _ = b.Log.Close() }

// fake starts a Kafka in this process.
func fake(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func optionsOf(t *testing.T, url string) brokers.Options {
	t.Helper()
	o, err := brokers.Parse(url, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func urlOf(c *kfake.Cluster) string { return "kafka://" + strings.Join(c.ListenAddrs(), ",") }

// network returns the connections of a server to others.
func network(t *testing.T) *peer.Network {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, err := peer.New(l, peer.Options{Advertise: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}

// home is where a log of the suite is.
type home struct{ dir, topic string }

var topics atomic.Int64

func newTopic() string { return fmt.Sprint("log", topics.Add(1)) }

// TestLog runs what every log promises.
func TestLog(t *testing.T) {
	t.Parallel()
	suite(t, urlOf(fake(t)))
}

// TestLogReal runs what every log promises at a real Kafka.
func TestLogReal(t *testing.T) {
	t.Parallel()
	suite(t, kafkatest.Start(t).URL())
}

func suite(t *testing.T, url string) {
	t.Helper()
	logtest.Run(t, logtest.Features{Shared: true, NotCommitted: errors.New("not committed")}, func(m *logtest.Machine) logtest.Log {
		at, crashed := m.Home.(home)
		if crashed { // each crash has a future of its own
			at = fork(t, url, at)
		} else {
			at = home{t.TempDir(), newTopic()}
		}
		m.Home = at
		l, err := Open(&alone{Machine: m}, Options{Dir: at.dir, Network: network(t), Brokers: optionsOf(t, url), Topic: at.topic, Heartbeat: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		if !crashed {
			if err := l.Bootstrap(); err != nil {
				t.Fatal(err)
			}
		}
		awaitReady(t, l)
		return blocking{l}
	})
}

func awaitReady(t *testing.T, l *Log) {
	t.Helper()
	await(t, func() error { return l.Ready() })
}

// await waits until there is no error any more.
func await(t *testing.T, is func() error) {
	t.Helper()
	limit := time.Now().Add(time.Minute)
	for {
		err := is()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
		if err := sleep.For(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// fork copies the directory and the topic of a log.
func fork(t *testing.T, url string, from home) home {
	t.Helper()
	to := home{t.TempDir(), newTopic()}
	if err := os.CopyFS(to.dir, os.DirFS(from.dir)); err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, url, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{from.topic: {0: kgo.NewOffset().AtStart()}}), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(t.Context(), from.topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(from.topic, 0)
	settings := make(map[string]*string)
	for key, value := range logSettings {
		settings[key] = &value
	}
	made, err := admin.CreateTopic(t.Context(), 1, 1, settings, to.topic)
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(0); n < end.Offset; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if n++; n <= end.Offset {
				if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: to.topic, Value: r.Value, Headers: r.Headers}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	path := filepath.Join(to.dir, keptFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	k.Topic = made.ID.String()
	if text, err = json.Marshal(k); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, private); err != nil {
		t.Fatal(err)
	}
	return to
}

func clientOf(t *testing.T, url string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(strings.TrimPrefix(url, "kafka://"), ",")...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
