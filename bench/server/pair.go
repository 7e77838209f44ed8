package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"trackway/bench/running"
)

// pair measures two binaries in turn, and prints the medians of the ratios
// within a round: the machine's speed drifts, the ratios do not.
func pair(fresh, old, kind string, known, conns, rounds int, length time.Duration) {
	runtime.LockOSThread() // the servers end with the thread that started them
	events := 1
	if kind == "batch" {
		events = 50
	}
	var rates, cpus []float64
	for i := range rounds {
		// Each is first as often as the other.
		binaries := [2]string{fresh, old}
		if i%2 == 1 {
			slices.Reverse(binaries[:])
		}
		a := measureBinary(binaries[0], kind, known, conns, length)
		b := measureBinary(binaries[1], kind, known, conns, length)
		if i%2 == 1 {
			a, b = b, a
		}
		rates, cpus = append(rates, a.rate/b.rate), append(cpus, a.cpu/b.cpu)
		for _, r := range []struct {
			name string
			result
		}{{"new", a}, {"old", b}} {
			fmt.Printf("  %-6s %s %9.0f events/s p50 %8v p99 %8v cpu %6.2f µs an event, memory %3d MB\n",
				kind, r.name, r.rate*float64(events), r.p50, r.p99, r.cpu/float64(events), r.rss>>20)
		}
	}
	fmt.Printf("%s, %d connections: new ÷ old: rate %.3f (%.3f to %.3f), processor time %.3f (%.3f to %.3f); medians of %d\n\n",
		kind, conns, median(rates), slices.Min(rates), slices.Max(rates), median(cpus), slices.Min(cpus), slices.Max(cpus), rounds)
}

// measureBinary loads a binary with a fresh data directory. Its processor time
// is that of the load, without the start.
func measureBinary(binary, kind string, known, conns int, length time.Duration) result {
	dir, err := os.MkdirTemp("", "trackway-bench-")
	must(err)
	defer os.RemoveAll(dir)
	s := running.Start(binary, dir, 4_000_000)
	before := s.ProcessorTime()
	var wg sync.WaitGroup
	times := make([][]time.Duration, conns)
	start := time.Now()
	end := start.Add(length)
	for i := range conns {
		wg.Go(func() { times[i] = cheap(s.Public, kind, i, conns, known, end) })
	}
	wg.Wait()
	took, used := time.Since(start), s.ProcessorTime()-before
	res := summary(slices.Concat(times...), took)
	res.cpu = used.Seconds() * 1e6 / float64(res.requests)
	res.rss = maxRSS(s.Stop())
	return res
}

func summary(all []time.Duration, took time.Duration) result {
	slices.Sort(all)
	return result{
		requests: len(all), rate: float64(len(all)) / took.Seconds(),
		p50: all[len(all)/2].Round(time.Microsecond), p99: all[len(all)*99/100].Round(time.Microsecond),
	}
}

// cheap is a connection that costs as little as one can: it writes the digits
// that differ into a request that was made before, and looks at an answer's
// status, length and first bytes.
func cheap(addr, kind string, place, conns, known int, end time.Time) []time.Duration {
	req, events := prepared(kind)
	micros := time.Now().UnixMicro()
	customer := place
	return exchange(addr, end, func() []byte {
		for _, e := range events {
			micros++
			customer = (customer + conns) % known
			digits(req[e.customer:e.customer+8], customer)
			digits(req[e.seconds:e.seconds+10], int(micros/1e6))
			digits(req[e.micros:e.micros+6], int(micros%1e6))
		}
		return req
	})
}

// places are where the digits of an event stand in a request.
type places struct{ customer, seconds, micros int }

func prepared(kind string) (req []byte, events []places) {
	const (
		customer = `{"customer_ids":{"cookie":"`
		seconds  = `-4782-47ae-ba14-df6e29eefb36"},"event_type":"view_item","timestamp":`
		rest     = `,"properties":{"item_id":"sku-001234","title":"Trail running shoe 12, waterproof","category":"Shoes > Running > Trail","price":119.90,` +
			`"currency":"EUR","stock":17,"url":"https://shop.example/p/001234?utm_source=newsletter&utm_campaign=autumn","referrer":"https://www.example.org/search",` +
			`"os":"Android","browser":"Chrome 141","language":"de-DE","viewport":"412x915","discount":false}}`
		event = customer + "00000000" + seconds + "0000000000.000000" + rest
	)
	path, before, between, after, count := "customers/events", "", "", "", 1
	if kind == "batch" {
		path, before, between, after, count = "batch", `{"commands":[{"name":"customers/events","data":`, `},{"name":"customers/events","data":`, `}]}`, 50
	}
	length := len(before) + count*len(event) + (count-1)*len(between) + len(after)
	req = fmt.Appendf(nil, "POST /track/v2/projects/%s/%s HTTP/1.1\r\nHost: bench\r\nAuthorization: Token %s\r\n"+
		"Content-Type: application/json\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: %s\r\n\r\n%s",
		running.Project, path, running.Token, strconv.Itoa(length), before)
	for i := range count {
		if i > 0 {
			req = append(req, between...)
		}
		at := len(req) + len(customer)
		clock := at + 8 + len(seconds)
		events = append(events, places{customer: at, seconds: clock, micros: clock + 11})
		req = append(req, event...)
	}
	return append(req, after...), events
}

// digits writes n in decimal digits over all of b.
func digits(b []byte, n int) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}
