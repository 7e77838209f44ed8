package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kafka/kafkatest"
	"trackway/internal/scale"
	"trackway/internal/sleep"
)

// persist writes the events up to n in batches, as the engine does: after an
// error, it prepares the sink, and continues at the position.
func persist(t *testing.T, s *Sink, n uint64, wrote func(uint64)) {
	t.Helper()
	at, ready := uint64(0), false
	for at < n {
		var err error
		if !ready {
			var p destination.Position
			if p, err = s.Prepare(t.Context()); err == nil {
				at, ready = p.Number, true
			}
		} else if _, err = s.Write(t.Context(), batch(at, min(at+100, n))); err == nil {
			at = min(at+100, n)
			wrote(at)
		}
		if err != nil {
			ready = false
			if isFinal(err) || sleep.For(t.Context(), 100*time.Millisecond) != nil {
				t.Error(err)
				return
			}
		}
	}
}

// TestKilledBroker kills the broker during writes, and discards answers.
func TestKilledBroker(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	const total = 20_000
	progress := make(chan uint64, total)
	done := make(chan struct{})
	go func() {
		defer close(done)
		persist(t, newSink(t, b.ProxiedURL(), "out", "k."), total, func(n uint64) { progress <- n })
	}()
	for i := range scale.Of(2, 1) {
		for n := range progress {
			if n >= uint64(i+1)*total/5 {
				break
			}
		}
		b.Proxy.Set(kafkatest.Unanswered)
		b.Kill()
		b.Proxy.Set(kafkatest.None)
		b.Run(t)
	}
	<-done
	wantEvents(t, b.URL(), "k.", total)
}

// TestGuide runs the consumer of the guide, and kills it again and again. The
// topic also has records of an aborted transaction.
func TestGuide(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	guide, err := os.ReadFile("../../../docs/destinations-kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := bytes.Cut(guide, []byte("```go\n"))
	code, _, found := bytes.Cut(code, []byte("```"))
	dir := t.TempDir()
	source, program, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "consumer"), filepath.Join(dir, "out")
	if err := os.WriteFile(source, code, 0o600); err != nil || !found {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	const total = 3000
	persist(t, newSink(t, b.URL(), "bus", "trackway."), total/2, func(uint64) {})
	abort(t, b, "trackway.events")
	persist(t, newSink(t, b.URL(), "bus", "trackway."), total, func(uint64) {})

	lines := func() []string {
		text, err := os.ReadFile(out)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	for _, enough := range []int{1, 1000, total} {
		consumer := exec.CommandContext(t.Context(), program, strings.TrimPrefix(b.URL(), "kafka://"), out)
		if err := consumer.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(2 * time.Minute); len(lines()) < enough && time.Now().Before(deadline); {
			_ = sleep.For(t.Context(), 50*time.Millisecond)
		}
		_ = consumer.Process.Kill()
		_ = consumer.Wait() // it was killed
	}
	seen := make(map[uint64]bool)
	for _, line := range lines() {
		seq, value, _ := strings.Cut(line, " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		if err != nil || seen[n] || !strings.HasPrefix(value, fmt.Sprintf(`{"seq":%d,`, n)) {
			t.Errorf("the consumer wrote %q: %v", line, err)
		}
		seen[n] = true
	}
	if len(seen) != total {
		t.Errorf("the consumer has %d events, want %d", len(seen), total)
	}
}

// abort writes a record into a topic in a transaction, and aborts the
// transaction.
func abort(t *testing.T, b *kafkatest.Broker, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(b.URL(), "kafka://")), kgo.TransactionalID("another"), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("never")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkWrite writes batches of 10 000 events to a real broker, in turn with
// a plain producer of the same records. The figure is events a second.
func BenchmarkWrite(b *testing.B) {
	broker := kafkatest.Start(b)
	s, err := New(&config.Destination{Name: "out", URL: broker.URL(), Prefix: "bench."}, storeID)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	plain, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(broker.URL(), "kafka://")), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.DefaultProduceTopic("bench.customers"))
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	const size = 10_000
	var ours, theirs time.Duration
	for n := uint64(0); b.Loop(); n += size {
		events := batch(n, n+size)
		for i := range events.Events {
			events.Events[i].Properties = fmt.Appendf(nil, `{"path":"/products/%d","referrer":"https://example.com/search?q=shoes","title":"Shoes %d","total":%d.95}`, i*7919%1000, i, i%500)
		}
		start := time.Now()
		if _, err := s.Write(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		start = time.Now()
		r := &rows{prefix: "bench.", topics: s.topics, store: []byte(storeID)}
		var records []*kgo.Record
		for i := range events.Events {
			record := r.event(&events.Events[i])
			record.Topic = "bench.customers"
			records = append(records, record)
		}
		if err := plain.ProduceSync(b.Context(), records...).FirstErr(); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
	}
	b.ReportMetric(float64(b.N)*size/ours.Seconds(), "events/s")
	b.ReportMetric(float64(b.N)*size/theirs.Seconds(), "plain/s")
}
