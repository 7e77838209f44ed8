package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// workload makes requests.
type workload struct {
	name   string
	events int // in each request
	make   func(r *rand.Rand) []byte
}

// body of about 500 bytes: what a shop's page sends.
func event(r *rand.Rand, known int) string {
	now := time.Now() // events come as they happen
	return fmt.Sprintf(`{"customer_ids":{"cookie":"%08x-4782-47ae-ba14-df6e29eefb36"},"event_type":"view_item","timestamp":%d.%06d,`+
		`"properties":{"item_id":"sku-%06d","title":"Trail running shoe %d, waterproof","category":"Shoes > Running > Trail","price":%d.90,`+
		`"currency":"EUR","stock":%d,"url":"https://shop.example/p/%06d?utm_source=newsletter&utm_campaign=autumn","referrer":"https://www.example.org/search",`+
		`"os":"Android","browser":"Chrome 141","language":"de-DE","viewport":"412x915","discount":false}}`,
		r.IntN(known), now.Unix(), now.Nanosecond()/1000, r.IntN(40000), r.IntN(1000), r.IntN(200), r.IntN(50), r.IntN(40000))
}

func single(known int) workload {
	return workload{name: "single", events: 1, make: func(r *rand.Rand) []byte {
		return request("customers/events", event(r, known))
	}}
}

func batches(known int) workload {
	const size = 50
	return workload{name: "batch", events: size, make: func(r *rand.Rand) []byte {
		var b bytes.Buffer
		b.WriteString(`{"commands":[`)
		for i := range size {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"name":"customers/events","data":` + event(r, known) + `}`)
		}
		b.WriteString(`]}`)
		return request("batch", b.String())
	}}
}

func request(path, body string) []byte {
	return fmt.Appendf(nil, "POST /track/v2/projects/%s/%s HTTP/1.1\r\nHost: bench\r\nAuthorization: Token %s\r\n"+
		"Content-Type: application/json\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: %d\r\n\r\n%s", project, path, token, len(body), body)
}

// result of one measurement.
type result struct {
	requests int
	rate     float64 // requests per second
	p50, p99 time.Duration
	cpu      float64 // microseconds of the server's processor time for each request, its start included
	sys      float64 // of it, in the kernel
	rss      int64   // bytes, the most the server had
}

// load sends requests over conns connections, each waiting for its answer, for the given time.
func load(addr string, w workload, conns int, length time.Duration) result {
	var wg sync.WaitGroup
	times := make([][]time.Duration, conns)
	start := time.Now()
	end := start.Add(length)
	for i := range conns {
		wg.Go(func() { times[i] = connection(addr, w, uint64(i), end) })
	}
	wg.Wait()
	took := time.Since(start)
	return summary(slices.Concat(times...), took)
}

func connection(addr string, w workload, seed uint64, end time.Time) []time.Duration {
	r := rand.New(rand.NewPCG(seed, uint64(os.Getpid())))
	return exchange(addr, end, func() []byte { return w.make(r) })
}

// exchange sends the requests that next makes over one connection, each after
// the answer to the one before, and returns how long the answers took.
func exchange(addr string, end time.Time, next func() []byte) (times []time.Duration) {
	c, err := net.Dial("tcp", addr)
	must(err)
	defer c.Close()
	in := bufio.NewReader(c)
	for now := time.Now(); now.Before(end); {
		req := next()
		sent := time.Now()
		_, err := c.Write(req)
		must(err)
		answer(in)
		now = time.Now()
		times = append(times, now.Sub(sent))
	}
	return times
}

// answer reads one answer, which must be 200 and tell its length.
func answer(in *bufio.Reader) {
	status, err := in.ReadSlice('\n')
	must(err)
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	line := string(status)
	length := -1
	for {
		field, err := in.ReadSlice('\n')
		must(err)
		if len(field) == 2 {
			break
		}
		if name := []byte("Content-Length: "); bytes.HasPrefix(field, name) {
			length, err = strconv.Atoi(string(bytes.TrimSpace(field[len(name):])))
			must(err)
		}
	}
	body := make([]byte, length)
	_, err = readFull(in, body)
	must(err)
	if !ok || !bytes.Contains(body, []byte(`"success":true`)) || bytes.Contains(body, []byte(`"success":false`)) {
		log.Fatalf("%s%s", line, body)
	}
}

func readFull(in *bufio.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = in.Read(b[n:])
		n += m
	}
	return n, err
}

func maxRSS(s *os.ProcessState) int64 {
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}
