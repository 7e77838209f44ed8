package overlay

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/store/format"
)

// BenchmarkFinish measures putting an entry's writes into order: 400 events of
// different customers, as in eight batches.
func BenchmarkFinish(b *testing.B) {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	o := New(db)
	const events = 400
	record := make([]byte, 350)
	var key, value []byte
	seq := uint64(1)
	for b.Loop() {
		for range events {
			_ = o.SetLog(seq, record[:20], record)
			customer := trackway.Customer(seq * 7919 % 10_000)
			key = format.AppendTimelineKey(key[:0], customer, trackway.Micros(seq), seq)
			value = binary.AppendUvarint(value[:0], seq)
			_ = o.SetEntry(key, value)
			seq++
		}
		if err := o.finish(); err != nil {
			b.Fatal(err)
		}
		o.Reset()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}
