package postgres_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"trackway"
	"trackway/internal/destination"
)

// backlog returns a batch of typical events of a shop.
func backlog(after uint64, rows int) *destination.Batch {
	b := &destination.Batch{Store: storeID, After: after, Through: after + uint64(rows)}
	for seq := after + 1; seq <= b.Through; seq++ {
		typ, properties := "page_visit", fmt.Sprintf(`{"browser":"Firefox","duration":%d,"language":"en","page":"/products/%d","referrer":"https://example.org/"}`, seq%300, seq%1000)
		if seq%10 == 0 {
			typ, properties = "purchase", fmt.Sprintf(`{"currency":"EUR","items":[{"sku":"a-%d","n":2}],"total":%d.95}`, seq%500, seq%200)
		}
		at := trackway.Micros(1_700_000_000_000_000 + seq*10_000)
		b.Events = append(b.Events, destination.Event{
			Seq: seq, Project: "demo", Customer: trackway.Customer(seq * 2654435761 % 20_000), Type: typ, At: at, Received: at + 1000, Properties: []byte(properties),
		})
		b.Bytes += len(properties)
	}
	return b
}

const batchRows = 10_000

// BenchmarkBacklog writes batches of 10 000 events, in turn with a bare COPY of
// the same rows into a table with the same indexes, and reports the ratio. One
// iteration is one batch of each.
func BenchmarkBacklog(b *testing.B) {
	d := database(b)
	s := open(b, d, columns("purchase total decimal(12,2)"))
	d.SQL(b, `CREATE TABLE bare (LIKE events INCLUDING INDEXES); CREATE TABLE plain (LIKE events); ALTER TABLE bare OWNER TO "`+d.Role+`"; ALTER TABLE plain OWNER TO "`+d.Role+`"`)
	conn, err := pgx.Connect(b.Context(), d.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	bare := func(table string, batch *destination.Batch) {
		rows := pgx.CopyFromSlice(len(batch.Events), func(i int) ([]any, error) {
			e := &batch.Events[i]
			return []any{int64(e.Seq), e.Project, int64(e.Customer), e.Type, e.At.Time(), e.Received.Time(), e.Properties}, nil
		})
		if _, err := conn.CopyFrom(b.Context(), pgx.Identifier{table}, []string{"seq", "project", "customer", "type", "at", "received_at", "properties"}, rows); err != nil {
			b.Fatal(err)
		}
	}
	var ours, indexed, plain, processor time.Duration
	after := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		batch := backlog(after, batchRows)
		for _, one := range []struct {
			sum *time.Duration
			do  func()
		}{
			{&ours, func() {
				before := processorTime()
				write(b, s, batch)
				processor += processorTime() - before
			}},
			{&indexed, func() { bare("bare", batch) }},
			{&plain, func() { bare("plain", batch) }},
		} {
			start := time.Now()
			one.do()
			*one.sum += time.Since(start)
		}
		after = batch.Through
	}
	rate := func(t time.Duration) float64 { return float64(after) / t.Seconds() }
	b.ReportMetric(rate(ours), "events/s")
	b.ReportMetric(rate(ours)/rate(indexed), "of-COPY-with-indexes")
	b.ReportMetric(rate(ours)/rate(plain), "of-COPY-without")
	b.ReportMetric(float64(processor.Nanoseconds())/float64(after), "cpu-ns/event")
}

// BenchmarkAgain writes batches that are already stored, as after a rewind.
func BenchmarkAgain(b *testing.B) {
	s := open(b, database(b), columns("purchase total decimal(12,2)"))
	batch := backlog(0, batchRows)
	write(b, s, batch)
	n := 0
	for b.Loop() {
		write(b, s, batch)
		n += batchRows
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkMemory reports the heap that a sink takes for a batch of 16 MiB, in
// addition to the batch.
func BenchmarkMemory(b *testing.B) {
	s := open(b, database(b))
	batch := backlog(0, 2000)
	for i := range batch.Events { // 8 KiB each
		batch.Events[i].Properties = fmt.Appendf(nil, `{"text":"%08000d"}`, i)
	}
	var before, m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	for b.Loop() {
		write(b, s, batch)
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc-min(m.HeapAlloc, before.HeapAlloc))
	}
	runtime.KeepAlive(batch)
	b.ReportMetric(float64(most)/(1<<20), "MiB")
}

// processorTime returns the processor time of this process so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
