package traffic

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkNote is what recording costs a call. Callers differ, or are one that floods; a second is over now and then.
func BenchmarkNote(b *testing.B) {
	for name, callers := range map[string]int{"callers=1": 1, "callers=1000": 1000} {
		r := New(b.TempDir(), slog.New(slog.DiscardHandler))
		b.Run(name, func(b *testing.B) {
			for _, on := range []bool{false, true} {
				r.Reload(Settings{Record: on, Keep: time.Hour, MaxBytes: 1 << 30})
				b.Run(map[bool]string{false: "off", true: "on"}[on]+"/serial", func(b *testing.B) {
					b.ReportAllocs()
					note(r, callers, func(i int) bool { return i < b.N })
				})
				b.Run(map[bool]string{false: "off", true: "on"}[on]+"/parallel", func(b *testing.B) {
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) { note(r, callers, func(int) bool { return pb.Next() }) })
				})
			}
		})
	}
}

func note(r *Recorder, callers int, more func(i int) bool) {
	c := Call{At: time.Unix(1e9, 0), Kind: Kind{
		Method: "POST", Route: "/track/v2/projects/{token}/customers/events", Path: "/track/v2/projects/x/customers/events",
		Project: "demo", Key: "web",
	}}
	addrs := make([]netip.Addr, callers)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := 0; more(i); i++ {
		c.Addr = addrs[i%callers]
		if r.On() {
			r.Note(&c)
		}
	}
}
