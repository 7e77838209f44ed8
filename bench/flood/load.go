package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"trackway/bench/running"
)

// flooder holds the orders for a flooding process.
type flooder struct {
	Server, Kind string
	Address      string
	Spread       bool // use ever other addresses, so that calls are accepted
	Many         bool // each connection has its own address, which may make ten calls
	Set          int  // of these addresses
	Conns        int
	Rate         float64       // calls a second of all connections; 0: as fast as answers come
	Most         time.Duration // after which the process ends by itself
}

// flooded is the outcome of the counted calls.
type flooded struct {
	Accepted, Refused int64
	Seconds           float64
}

func (f flooded) rate() float64 { return float64(f.Accepted+f.Refused) / f.Seconds }

// flooding is a flooder's process.
type flooding struct {
	cmd *exec.Cmd
	in  io.Closer
	out *json.Decoder
}

// start starts a flooder. It returns once all calls of the flooder are refused
// (or accepted, if the flooder is to be accepted).
func (b *bench) start(f flooder) *flooding {
	role, err := json.Marshal(f)
	must(err)
	cmd := exec.Command(os.Args[0], "-flooder", string(role))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	p := &flooding{cmd, in, json.NewDecoder(out)}
	var ready flooded
	must(p.out.Decode(&ready))
	return p
}

func (p *flooding) stop() (f flooded) {
	must(p.in.Close())
	must(p.out.Decode(&f))
	must(p.cmd.Wait())
	return f
}

// beFlooder is the flooder's process. It counts from the moment at which it has
// reported that it is ready.
func beFlooder(role string) {
	var f flooder
	must(json.Unmarshal([]byte(role), &f))
	var done, counting atomic.Bool
	var accepted, refused atomic.Int64
	spent, counts := make(chan struct{}), make(chan struct{})
	var ready atomic.Int32
	var wg sync.WaitGroup
	for i := range f.Conns {
		wg.Go(func() {
			c := dial(f.Server)
			defer c.Close()
			r := rand.New(rand.NewPCG(uint64(i), uint64(os.Getpid())))
			period := time.Duration(float64(f.Conns) / max(f.Rate, 1) * 1e9)
			var next time.Time
			warm := false
			for n := 0; !done.Load(); n++ {
				switch {
				case f.Rate == 0 || !counting.Load():
				case next.IsZero(): // connections take turns, so that calls come evenly
					next = time.Now().Add(period * time.Duration(i) / time.Duration(f.Conns))
					time.Sleep(time.Until(next))
				default:
					next = next.Add(period)
					time.Sleep(time.Until(next))
				}
				kind := f.Kind
				if !counting.Load() && !f.Spread {
					kind = "time" // uses up the limit soonest
				}
				status := c.call(request(kind, f.from(i, r), r))
				if !warm && (status == 429 || f.Spread && n == 200) {
					warm = true
					if ready.Add(1) == int32(f.needed()) {
						close(spent)
					}
					// Refusals before counting would make the server hold later
					// ones.
					if f.Many && f.Rate > 0 {
						<-counts
						continue
					}
				}
				switch {
				case !counting.Load():
				case status == 200:
					accepted.Add(1)
				case status == 429:
					refused.Add(1)
				default:
					log.Fatalf("status %d", status)
				}
			}
		})
	}
	<-spent
	time.Sleep(200 * time.Millisecond) // waits for calls that were under way at the limit
	out := json.NewEncoder(os.Stdout)
	counting.Store(true)
	close(counts)
	began := time.Now()
	must(out.Encode(flooded{}))
	time.AfterFunc(f.Most, func() { log.Fatal("the flooder was not stopped in time") })
	_, _ = io.Copy(io.Discard, os.Stdin)
	counting.Store(false)
	took := time.Since(began)
	done.Store(true)
	wg.Wait()
	must(out.Encode(flooded{accepted.Load(), refused.Load(), took.Seconds()}))
}

// needed returns how many connections must have been refused until all calls
// are.
func (f *flooder) needed() int {
	if f.Many {
		return f.Conns
	}
	return 1
}

// from returns the address that a connection uses for its next call.
func (f *flooder) from(conn int, r *rand.Rand) string {
	switch {
	case f.Many:
		return fmt.Sprintf("198.%d.%d.%d", 18+f.Set>>5&1, f.Set<<3&255+conn>>8, conn&255)
	case !f.Spread:
		return f.Address
	}
	n := r.Uint32N(1 << 20)
	return fmt.Sprintf("20.%d.%d.%d", n>>16, n>>8&255, n&255)
}

// request returns one call: an event of about 500 bytes, as a shop's page sends
// it, or a question for the time.
func request(kind, from string, r *rand.Rand) []byte {
	head := "/track/v2/projects/" + running.Project + "/"
	fields := " HTTP/1.1\r\nHost: bench\r\nAuthorization: Token " + running.Token + "\r\nX-Forwarded-For: " + from + "\r\n"
	if kind == "time" {
		return []byte("GET " + head + "system/time" + fields + "\r\n")
	}
	body := fmt.Sprintf(`{"customer_ids":{"cookie":"%08x-4782-47ae-ba14-df6e29eefb36"},"event_type":"view_item","timestamp":%d.%06d,`+
		`"properties":{"item_id":"sku-%06d","title":"Trail running shoe %d, waterproof","category":"Shoes > Running > Trail","price":%d.90,`+
		`"currency":"EUR","stock":%d,"url":"https://shop.example/p/%06d?utm_source=newsletter&utm_campaign=autumn","referrer":"https://www.example.org/search",`+
		`"os":"Android","browser":"Chrome 141","language":"de-DE","viewport":"412x915","discount":false}}`,
		r.IntN(100_000), 1763000000+r.IntN(500000), r.IntN(1000000), r.IntN(40000), r.IntN(1000), r.IntN(200), r.IntN(50), r.IntN(40000))
	return []byte("POST " + head + "customers/events" + fields + "Content-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// conn is a client's connection. It does as little work as possible.
type conn struct {
	net.Conn
	in     *bufio.Reader
	calls  int
	closes bool // the last answer announced the end of the connection
}

func dial(server string) *conn {
	c, err := net.Dial("tcp", server)
	must(err)
	return &conn{Conn: c, in: bufio.NewReader(c)}
}

// call sends a request and returns the status of the answer, which must declare
// its length.
func (c *conn) call(req []byte) (status int) {
	_, err := c.Write(req)
	must(err)
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		log.Fatalf("call %d of a connection: %v (close announced: %t)", c.calls, err, c.closes)
	}
	c.calls++
	status, err = strconv.Atoi(string(line[len("HTTP/1.1 "):][:3]))
	must(err)
	length := 0
	for {
		field, err := c.in.ReadSlice('\n')
		must(err)
		if len(field) == 2 {
			break
		}
		c.closes = c.closes || bytes.HasPrefix(field, []byte("Connection: close"))
		if value, ok := bytes.CutPrefix(field, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
			must(err)
		}
	}
	_, err = c.in.Discard(length)
	must(err)
	return status
}

// behave simulates callers who each call at their own times, and returns the
// sorted latencies of the answers. If an answer is late, its caller sends the
// overdue calls at once, and their lateness counts.
func behave(server, kind string, callers int, rate float64, length time.Duration) []time.Duration {
	period := time.Duration(1e9 / rate)
	times := make([][]time.Duration, callers)
	start := time.Now().Add(100 * time.Millisecond)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			c := dial(server)
			defer c.Close()
			r := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
			from := fmt.Sprintf("198.51.100.%d", i)
			due := start.Add(period * time.Duration(i) / time.Duration(callers))
			for ; due.Before(start.Add(length)); due = due.Add(period) {
				req := request(kind, from, r)
				late := time.Until(due) < 0
				time.Sleep(time.Until(due))
				sent := time.Now() // not due: the server is not to blame if this process wakes late
				if late {
					sent = due
				}
				if status := c.call(req); status != 200 {
					log.Fatalf("a well-behaved caller got status %d", status)
				}
				times[i] = append(times[i], time.Since(sent))
			}
		})
	}
	wg.Wait()
	return slices.Sorted(slices.Values(slices.Concat(times...)))
}
