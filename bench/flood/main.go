// Command flood measures, on the real binary, what a flood of refused calls
// costs: the share of the machine that it takes, the cost of a refusal compared
// with a handler of net/http with golang.org/x/time/rate, and the latency of
// well-behaved callers. It prints a Markdown table for each.
//
//	go run ./flood                          # builds the server beside this module
//	go run ./flood -binary ../bin/trackway -rounds 3 -time 3s
//	go run ./flood -only cost               # one table: share, cost or others
//	go run ./flood -profile refused.pprof   # where the server spends its time
//
// X-Forwarded-For tells callers apart; the server trusts this host. A flooder
// is a process of its own: over its limit, closed-loop, on several connections.
// The other callers are open-loop: each sends at its own times, regardless of
// the previous call. All share the processors with the server. The server's
// cost is given as processor time, which other work on the machine changes
// little.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"trackway/bench/rounds"
	"trackway/bench/running"
)

func main() {
	log.SetFlags(0)
	role := flag.String("flooder", "", "internal: be the flooder that this describes")
	asPeer := flag.Bool("peer", false, "internal: be the server to compare with")
	binary := flag.String("binary", "", "the server; without it, it is built")
	rounds := flag.Int("rounds", 5, "rounds; medians are printed")
	length := flag.Duration("time", 5*time.Second, "length of one measurement, at most 20s")
	conns := flag.Int("conns", 64, "connections of a flooder, except where a table says otherwise")
	calls := flag.String("calls", "event", "what the others send: event or time")
	others := flag.Int("others", 100, "well-behaved callers")
	each := flag.Float64("rate", 5, "calls a second of each of them")
	only := flag.String("only", "", "print one table only: share, cost or others")
	profile := flag.String("profile", "", "write a CPU profile of the server while it refuses to this file")
	flag.Parse()
	switch {
	case *role != "":
		beFlooder(*role)
		return
	case *asPeer:
		bePeer()
		return
	}
	runtime.LockOSThread() // the server dies with the thread that started it
	dir, err := os.MkdirTemp("", "trackway-flood-")
	must(err)
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = running.Build(dir)
	}
	b := &bench{
		server: running.Start(*binary, dir, 6000, ""), rounds: *rounds, length: min(*length, 20*time.Second),
		conns: *conns, others: *others, each: *each, calls: *calls,
	}
	defer b.server.Stop()
	lower(b.server, filepath.Join(dir, "trackway.yaml"))
	b.peer = startPeer()
	defer b.peer.stop()
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d, %s, medians of %d rounds of %v\n\n",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(), b.rounds, b.length)
	if *profile != "" {
		b.profile(*profile)
		return
	}
	for _, table := range []struct {
		name  string
		print func()
	}{{"share", b.share}, {"cost", b.cost}, {"others", b.felt}} {
		if *only == "" || *only == table.name {
			table.print()
		}
	}
}

// bench is one run.
type bench struct {
	server        *running.Server
	peer          *peer
	rounds, conns int
	others        int
	each          float64 // calls a second
	calls         string
	length        time.Duration
	flooders      int // addresses used so far: each flood uses a fresh one
}

// blocked is a range of addresses that may make ten calls a minute.
const blocked = `overrides:
  - {policy: track, address: 198.18.0.0/15, limit: 10}
`

// lower makes the server limit that range.
func lower(s *running.Server, config string) {
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = f.WriteString(blocked)
	must(err)
	must(f.Close())
	res, err := http.Post("http://"+s.Ops+"/-/reload", "", nil)
	must(err)
	must(res.Body.Close())
	if res.StatusCode != http.StatusOK {
		log.Fatalf("the server does not reload: %s", res.Status)
	}
}

// cost prints the server's processor time per refused call, and the peer's at
// the same rate. A call costs more at a low rate, because processors go to
// sleep between calls. The server holds back a flood beyond its rates, so it
// answers refusals at once only at a low rate.
func (b *bench) cost() {
	fmt.Println("| refused calls, µs of processor time each | refused/s | Trackway | net/http and x/time/rate, same rate | ratio | Trackway, accepted, same rate | refused ÷ accepted |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	const slow = 200 // calls a second: below the rate that is held back
	for _, row := range []struct {
		title, kind string
		many        bool
		rate        float64
	}{
		{fmt.Sprintf("`POST customers/events`, %d addresses, answered at once", b.conns), "event", true, slow},
		{"`POST customers/events`, one address, held back", "event", false, 0},
		{fmt.Sprintf("`POST customers/events`, %d addresses, held back", b.conns), "event", true, 0},
		{fmt.Sprintf("`GET system/time`, %d addresses, held back", b.conns), "time", true, 0},
	} {
		var rates, ours, theirs, ratios, accepted, shares []float64
		for range b.rounds {
			f := b.flooder(row.kind, row.rate)
			f.Many = row.many
			t := b.load(f, b.server.Public, b.server.Pid())
			f = b.flooder(row.kind, t.rate)
			f.Many = row.many
			p := b.load(f, b.peer.addr, b.peer.cmd.Process.Pid)
			f = b.flooder(row.kind, t.rate)
			f.Spread = true
			a := b.load(f, b.server.Public, b.server.Pid())
			rates, ours, theirs, ratios = append(rates, t.rate), append(ours, t.cpu), append(theirs, p.cpu), append(ratios, t.cpu/p.cpu)
			accepted, shares = append(accepted, a.cpu), append(shares, t.cpu/a.cpu)
		}
		fmt.Printf("| %s | %.0f | %.1f | %.1f | **%.2f** | %.1f | %.2f |\n", row.title,
			rounds.Median(rates), rounds.Median(ours), rounds.Median(theirs), rounds.Median(ratios), rounds.Median(accepted), rounds.Median(shares))
	}
	fmt.Println()
}

var titles = map[string]string{"event": "`POST customers/events`, 513 bytes, durable", "time": "`GET system/time`"}

// loaded is the effect of a load on a server.
type loaded struct {
	cpu, rate float64 // µs a call, calls a second
	share     float64 // of the machine's processors
}

// load runs a flooder alone against a server.
func (b *bench) load(f flooder, server string, pid int) loaded {
	f.Server = server
	p := b.start(f)
	before, began := processorTime(pid), time.Now()
	time.Sleep(b.length)
	used, took := processorTime(pid)-before, time.Since(began)
	res := p.stop()
	if !f.Spread && res.Accepted > 0 {
		log.Fatalf("%d calls were accepted that should have been refused", res.Accepted)
	}
	if f.Spread && res.Refused > 0 {
		log.Fatalf("%d calls were refused that should have been accepted", res.Refused)
	}
	// The flooder's count runs from its first counted call to its last. The
	// server's time was taken within that span.
	calls := res.rate() * took.Seconds()
	return loaded{cpu: used.Seconds() * 1e6 / calls, rate: res.rate(), share: used.Seconds() / took.Seconds() / float64(runtime.NumCPU())}
}

func (b *bench) flooder(kind string, rate float64) flooder {
	b.flooders++
	return flooder{
		Server: b.server.Public, Kind: kind, Address: fmt.Sprintf("203.0.113.%d", b.flooders%256), Set: b.flooders,
		Conns: b.conns, Rate: rate, Most: 4 * b.length,
	}
}

// share prints the share of the machine that floods take.
func (b *bench) share() {
	fmt.Println("| flood, as fast as answers come | refused/s | share of the machine's processor time |")
	fmt.Println("| --- | --- | --- |")
	for _, row := range []struct {
		title string
		conns int
		many  bool
	}{
		{"64 connections of one address", 64, false},
		{"64 connections of 64 addresses", 64, true},
		{"256 connections of one address", 256, false},
		{"2048 connections of 2048 addresses", 2048, true},
	} {
		var rates, shares []float64
		for range b.rounds {
			f := b.flooder("event", 0)
			f.Conns, f.Many = row.conns, row.many
			t := b.load(f, b.server.Public, b.server.Pid())
			rates, shares = append(rates, t.rate), append(shares, t.share)
		}
		fmt.Printf("| %s | %.0f | **%.1f %%** |\n", row.title, rounds.Median(rates), 100*rounds.Median(shares))
	}
	fmt.Println()
}

// profile saves a CPU profile of the server while it refuses.
func (b *bench) profile(file string) {
	p := b.start(b.flooder("event", 0))
	b.server.Profile(file, b.length)
	p.stop()
}

// felt prints the latency of well-behaved callers with and without a flood.
func (b *bench) felt() {
	fmt.Printf("%d callers, each %.0f times a second %s; floods on %d connections, as fast as answers come:\n\n", b.others, b.each, titles[b.calls], b.conns)
	fmt.Println("| flood | refused/s | machine idle | p50 | p99 | p99 ÷ p99 without |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	kinds := []string{"none", "one address", fmt.Sprintf("%d addresses", b.conns)}
	type sums struct{ refused, idle, p50, p99, ratio []float64 }
	all := make([]sums, len(kinds))
	for range b.rounds {
		quiet := 0.0
		for i := range kinds {
			var p *flooding
			if i > 0 {
				f := b.flooder("event", 0)
				f.Many = i > 1
				p = b.start(f)
			}
			idle := startIdle()
			times := behave(b.server.Public, b.calls, b.others, b.each, b.length)
			s := &all[i]
			s.idle = append(s.idle, idle.share())
			if p != nil {
				s.refused = append(s.refused, p.stop().rate())
			}
			p50, p99 := times[len(times)/2].Seconds()*1e3, times[len(times)*99/100].Seconds()*1e3
			if i == 0 {
				quiet = p99
			}
			s.p50, s.p99, s.ratio = append(s.p50, p50), append(s.p99, p99), append(s.ratio, p99/quiet)
		}
	}
	for i, s := range all {
		fmt.Printf("| %s | %.0f | %.0f %% | %.2f ms | %.2f ms | **%.2f** |\n",
			kinds[i], rounds.Median(s.refused), 100*rounds.Median(s.idle), rounds.Median(s.p50), rounds.Median(s.p99), rounds.Median(s.ratio))
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
