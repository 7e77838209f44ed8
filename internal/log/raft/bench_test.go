package raft

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/raft/peer"
	"trackway/internal/store"
)

// BenchmarkAppend puts events into one store alone, and into three servers in
// one process, on the same disk. Compare figures of one run only.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ outstanding, batch int }{{64, 1}, {512, 1}, {64, 50}} {
		b.Run(fmt.Sprintf("alone/%dx%d", c.outstanding, c.batch), func(b *testing.B) {
			s, err := store.Open(b.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.Register([]trackway.Project{{Token: "demo", Hard: []string{"registered"}}}); err != nil {
				b.Fatal(err)
			}
			load(b, c.outstanding, c.batch, func(cmds []trackway.Command, results []trackway.Result) error { return s.Apply(cmds, results) })
		})
		b.Run(fmt.Sprintf("three/%dx%d", c.outstanding, c.batch), func(b *testing.B) {
			logs, stop := three(b)
			defer stop()
			var next atomic.Uint64
			load(b, c.outstanding, c.batch, func(cmds []trackway.Command, results []trackway.Result) error {
				l := logs[next.Add(1)%3]
				return l.Append(context.Background(), &entry.Commands{Requests: []entry.Request{{Commands: cmds, Results: results}}})
			})
		})
	}
}

// load applies b.N batches with so many of them under way.
func load(b *testing.B, outstanding, batch int, apply func([]trackway.Command, []trackway.Result) error) {
	b.Helper()
	value := make([]byte, 450)
	for i := range value {
		value[i] = 'a' + byte(i%26)
	}
	value[0], value[len(value)-1] = '"', '"'
	var n atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range outstanding {
		wg.Go(func() {
			cmds, results := make([]trackway.Command, batch), make([]trackway.Result, batch)
			for {
				at := n.Add(1)
				if at > int64(b.N) {
					return
				}
				for i := range cmds {
					cmds[i] = trackway.Command{
						Kind: trackway.AddEvent, Project: 1, Type: "visit", Time: trackway.Micros(at), Received: trackway.Micros(at),
						IDs:        []trackway.Identifier{{Name: "registered", Value: strconv.FormatInt(at%5000, 10), Hard: true}},
						Properties: []trackway.Property{{Name: "page", Value: value}},
					}
				}
				if err := apply(cmds, results); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}

// three returns the logs of three servers.
func three(b *testing.B) (logs []*Log, stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var machines []*storeMachine
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		network, err := peer.New(l, peer.Options{Advertise: l.Addr().String()})
		if err != nil {
			b.Fatal(err)
		}
		running.Go(func() { _ = network.Run(ctx) })
		dir := b.TempDir()
		m := &storeMachine{fs: vfs.Default}
		m.changed = sync.NewCond(&m.mu)
		if m.s, err = store.Open(filepath.Join(dir, "state"), store.Options{Fatal: func(err error) { panic(err) }}); err != nil {
			b.Fatal(err)
		}
		log, err := Open(m, Options{Dir: filepath.Join(dir, "log"), Network: network, Heartbeat: 2 * time.Second, patience: time.Minute, Log: debugLog()})
		if err != nil {
			b.Fatal(err)
		}
		logs, machines = append(logs, log), append(machines, m)
	}
	if err := logs[0].Bootstrap(); err != nil {
		b.Fatal(err)
	}
	if err := logs[0].Append(ctx, &entry.Register{Projects: []entry.Registration{{Token: "demo", Hard: []string{"registered"}}}}); err != nil {
		b.Fatal(err)
	}
	for _, l := range logs[1:] {
		if err := logs[0].Add(l.ID(), l.o.Network.Advertise(), true); err != nil {
			b.Fatal(err)
		}
	}
	return logs, func() {
		for i, l := range logs {
			_ = l.Close()
			_ = machines[i].s.Close()
		}
		cancel()
		running.Wait()
	}
}
