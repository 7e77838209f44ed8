// Command logs measures what the log of a cluster costs: one server alone,
// three that vote (Raft), and two or three whose log is in a broker of Kafka.
// They take turns, with the same client and the same requests, each with fresh
// data. It prints Markdown.
//
//	go run ./logs -kafka ../tools/kafka/lib           # tools/install-kafka puts the jars there
//	go run ./logs -kafka ../tools/kafka/lib -partitions 2 -conns 512
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"trackway/bench/client"
	"trackway/bench/rounds"
	"trackway/bench/running"
)

// plenty is a limit that no load reaches, in calls a minute.
const plenty = 4_000_000

// subject is what is measured.
type subject struct {
	name  string
	start func(dir string) (servers, broker *running.Server) // broker: nil: none

	rate, ratio, servers, broker, p50, p99 []float64 // in each round
}

func main() {
	log.SetFlags(0)
	binary := flag.String("binary", "", "the server; without it, it is built")
	lib := flag.String("kafka", "", "the `folder` with the jars of the broker")
	partitions := flag.Int("partitions", 1, "partitions of the servers, and projects")
	conns := flag.Int("conns", 64, "connections")
	turns := flag.Int("rounds", 5, "rounds; medians are printed")
	length := flag.Duration("time", 4*time.Second, "length of one measurement")
	flag.Parse()
	runtime.LockOSThread() // the servers end with the thread that started them
	dir, err := os.MkdirTemp("", "trackway-bench-")
	rounds.Must(err)
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = running.Build(dir)
	}
	running.Projects = *partitions
	more := fmt.Sprintf("partitions: %d\n", *partitions)
	subjects := func() []*subject {
		all := []*subject{
			{name: "one server alone", start: func(dir string) (*running.Server, *running.Server) {
				return running.Start(*binary, dir, plenty, more), nil
			}},
			{name: "three over Raft, through the leader", start: func(dir string) (*running.Server, *running.Server) {
				return running.StartCluster(*binary, dir, plenty, 3, 0, more), nil
			}},
		}
		over := func(n int, sync bool, name string) *subject {
			return &subject{name: name, start: func(dir string) (*running.Server, *running.Server) {
				broker := running.StartBroker(*lib, filepath.Join(dir, "broker"), sync)
				return running.StartOverKafka(*binary, dir, plenty, n, broker, more), broker
			}}
		}
		return append(all, over(2, true, "two over Kafka, flush.messages=1"), over(3, true, "three over Kafka, flush.messages=1"),
			over(2, false, "two over Kafka, as it comes"))
	}
	for _, size := range []int{1, 50} {
		all := subjects()
		for round := range *turns {
			for i := range all {
				all[(i+round)%len(all)].measure(size, *conns, *length)
			}
			for _, s := range all {
				s.ratio = append(s.ratio, s.rate[round]/all[0].rate[round])
			}
		}
		print(all, size, *conns, *partitions)
	}
}

// measure starts the servers, loads one of them, and stops all.
func (s *subject) measure(size, conns int, length time.Duration) {
	dir, err := os.MkdirTemp("", "trackway-bench-")
	rounds.Must(err)
	defer os.RemoveAll(dir)
	servers, broker := s.start(dir)
	var requests []*client.Request
	for i := range running.Projects {
		token, key := running.ProjectOf(i)
		requests = append(requests, client.NewRequest(token, key, size))
	}
	client.LoadAll(servers.Public, requests, conns, 10_000, length/2) // the broker compiles itself
	used := func(of *running.Server) time.Duration {
		if of == nil {
			return 0
		}
		return of.ProcessorTime()
	}
	before, brokerBefore := used(servers), used(broker)
	got := client.LoadAll(servers.Public, requests, conns, 10_000, length)
	micros := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(got.Events) }
	s.rate = append(s.rate, float64(got.Events)/got.Took.Seconds())
	s.servers = append(s.servers, micros(used(servers)-before))
	s.broker = append(s.broker, micros(used(broker)-brokerBefore))
	s.p50, s.p99 = append(s.p50, got.P50.Seconds()*1e3), append(s.p99, got.P99.Seconds()*1e3)
	servers.Stop()
	if broker != nil {
		broker.Kill()
	}
}

func print(all []*subject, size, conns, partitions int) {
	fmt.Printf("\n| %d × %d, %d partitions | events/s | ÷ one alone | µs of processor time an event: servers | broker | p50 ms | p99 ms |\n"+
		"| --- | --- | --- | --- | --- | --- | --- |\n", conns, size, partitions)
	for _, s := range all {
		fmt.Printf("| %s | %.0f | %.2f (%.2f to %.2f) | %.0f | %.0f | %.1f | %.0f |\n", s.name, rounds.Median(s.rate), rounds.Median(s.ratio), slices.Min(s.ratio), slices.Max(s.ratio),
			rounds.Median(s.servers), rounds.Median(s.broker), rounds.Median(s.p50), rounds.Median(s.p99))
	}
}
