package traffic

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"trackway/internal/limit"
)

// BenchmarkNote measures the cost of recording a call, with different callers
// or one flooding caller. A second ends now and then.
func BenchmarkNote(b *testing.B) {
	for name, callers := range map[string]int{"callers=1": 1, "callers=1000": 1000} {
		r := New(b.TempDir(), roots, slog.New(slog.DiscardHandler))
		b.Run(name, func(b *testing.B) {
			for _, on := range []bool{false, true} {
				r.Reload(Settings{Record: on, Keep: time.Hour, MaxBytes: 1 << 30})
				b.Run(map[bool]string{false: "off", true: "on"}[on]+"/serial", func(b *testing.B) {
					b.ReportAllocs()
					note(r, callers, func(i int) bool { return i < b.N }, time.Unix(1e9, 0))
				})
				b.Run(map[bool]string{false: "off", true: "on"}[on]+"/parallel", func(b *testing.B) {
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) { note(r, callers, func(int) bool { return pb.Next() }, time.Unix(1e9, 0)) })
				})
			}
		})
	}
}

func note(r *Recorder, callers int, more func(i int) bool, at time.Time) {
	c, d := limit.Call{
		Method: "POST", Route: "/track/v2/projects/{token}/customers/events", Path: "/track/v2/projects/x/customers/events", Project: "x", Key: "web",
	}, limit.Decision{Allowed: true}
	addrs := make([]netip.Addr, callers)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := 0; more(i); i++ {
		c.Addr = addrs[i%callers]
		r.Note(at, &c, &d)
	}
}

// BenchmarkWalk reads ten minutes of a thousand callers who call each second,
// and measures the cost of a row.
func BenchmarkWalk(b *testing.B) {
	r := New(b.TempDir(), roots, slog.New(slog.DiscardHandler))
	r.Reload(Settings{Record: true, Keep: 24 * time.Hour, MaxBytes: 1 << 30})
	const seconds, callers = 600, 1000
	start := time.Now()
	for second := range seconds {
		at := start.Add(time.Duration(second) * time.Second)
		n := 0
		note(r, callers, func(int) bool { n++; return n <= callers }, at)
		r.tick(at)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		rows := 0
		_, err := Walk(r.dir, time.Unix(0, 0), start.Add(time.Hour), func(_ int64, all []Row) error { rows += len(all); return nil })
		if err != nil || rows != seconds*callers {
			b.Fatalf("%d rows, %v", rows, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(seconds*callers), "ns/row")
}
