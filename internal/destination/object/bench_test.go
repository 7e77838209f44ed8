package object

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

// backlog returns batches such as the engine makes when it is behind.
func backlog(batches, size int) []*destination.Batch {
	var all []*destination.Batch
	seq := uint64(0)
	for range batches {
		b := &destination.Batch{Store: storeID, After: seq}
		for range size {
			seq++
			at := start + trackway.Micros(seq)*1000
			b.Events = append(b.Events, destination.Event{
				Seq: seq, Project: "demo", Customer: trackway.Customer(seq * 7919 % 10007), Type: []string{"page_view", "purchase", "click"}[seq%3], At: at, Received: at + 5,
				Properties: fmt.Appendf(nil, `{"browser":"Firefox","page":"https://example.com/products/%d","price":%d.99,"referrer":"https://search.example/?q=%x","session":"%016x"}`,
					seq%5003, seq%97, seq*31, seq*0x9e3779b97f4a7c15),
			})
		}
		b.Through = seq
		all = append(all, b)
	}
	return all
}

// bare writes the same rows with parquet-go's own support for structs.
func bare(b *destination.Batch) ([]byte, error) {
	type line struct {
		At         int64  `parquet:"at,timestamp(microsecond)"`
		Customer   int64  `parquet:"customer"`
		Project    string `parquet:"project,dict"`
		Properties string `parquet:"properties,json"`
		Received   int64  `parquet:"received_at,timestamp(microsecond)"`
		Seq        int64  `parquet:"seq,delta"`
		Type       string `parquet:"type,dict"`
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[line](&out, parquet.Compression(&parquet.Zstd))
	lines := make([]line, 0, 128)
	for i := range b.Events {
		e := &b.Events[i]
		lines = append(lines, line{int64(e.At), int64(e.Customer), e.Project, string(e.Properties), int64(e.Received), int64(e.Seq), e.Type})
		if len(lines) == cap(lines) || i == len(b.Events)-1 {
			if _, err := w.Write(lines); err != nil {
				return nil, err
			}
			lines = lines[:0]
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// BenchmarkParquet writes a backlog in turn with a bare Parquet writer. The
// reported ratio is of the times: above 1, the destination is slower.
func BenchmarkParquet(b *testing.B) {
	batches := backlog(4, 50_000)
	var own, theirs time.Duration
	for b.Loop() {
		bucket := newMemory()
		s, err := New(config.Destination{Name: "out", Format: "parquet"}, bucket, Options{Late: true})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Prepare(b.Context()); err != nil {
			b.Fatal(err)
		}
		for _, batch := range batches {
			began := time.Now()
			if _, err := s.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			own += time.Since(began)
			began = time.Now()
			if _, err := bare(batch); err != nil {
				b.Fatal(err)
			}
			theirs += time.Since(began)
		}
	}
	events := float64(b.N * len(batches) * len(batches[0].Events))
	b.ReportMetric(events/own.Seconds(), "events/s")
	b.ReportMetric(events/theirs.Seconds(), "bare_events/s")
	b.ReportMetric(theirs.Seconds()/own.Seconds(), "of_bare")
}
