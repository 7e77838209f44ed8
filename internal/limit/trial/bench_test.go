package trial

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"trackway/internal/limit"
	"trackway/internal/limit/replay"
	"trackway/internal/limit/traffic"
)

// full returns a bench with a record that reaches all bounds: rows of 20 000
// addresses, with 8 calls each.
func full(b *testing.B) *Bench {
	b.Helper()
	r := traffic.New(filepath.Join(b.TempDir(), "traffic"), []string{"/api/"}, slog.New(slog.DiscardHandler))
	r.Reload(traffic.Settings{Record: true, Keep: time.Hour, MaxBytes: 1 << 30})
	b.Cleanup(func() { _ = r.Close() })
	const together = 8000 // rows that the recorder takes until they are written
	for row := range maxRows {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 10<<24|uint32(row%maxCallers))
		route := "/api/" + strconv.Itoa(row/maxCallers)
		c := &limit.Call{Addr: netip.AddrFrom4(ip), Method: "GET", Route: route, Path: route}
		now := time.Now()
		for range maxCalls / maxRows {
			r.Note(now, c, &limit.Decision{Allowed: true})
		}
		if row%together == together-1 {
			if err := r.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	return &Bench{Record: r, patience: time.Hour, Limits: func() replay.Limits { return replay.Limits{Policies: policies} }}
}

// The cost of an answer about as much of a record as is read at most.
func BenchmarkTry(b *testing.B) {
	bench := full(b)
	for b.Loop() {
		t, err := bench.Try(b.Context(), "api", 100, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(t.Result.Record.Calls), "calls")
		b.ReportMetric(float64(t.Result.Policy.Callers), "callers")
	}
}

func BenchmarkSuggest(b *testing.B) {
	bench := full(b)
	for b.Loop() {
		if _, err := bench.Suggest(b.Context(), replay.Wish{Policy: "api", Share: 99.9}); err != nil {
			b.Fatal(err)
		}
	}
}

// The part of the cost that finds out how much to read.
func BenchmarkNewest(b *testing.B) {
	bench := full(b)
	for b.Loop() {
		if _, err := traffic.Newest(b.Context(), bench.Record.Dir(), traffic.Most{Rows: maxRows, Calls: maxCalls, Callers: maxCallers}); err != nil {
			b.Fatal(err)
		}
	}
}
