// Package client sends events to a server over HTTP/1.1 and waits for the
// answers, as cheaply as possible: it shares the machine with the server, so
// whatever it costs is missing from the figures. One thread serves all
// connections: it waits with epoll(7) and makes two further system calls for a
// request. A request is a text made beforehand in which only digits change.
//
// A failure ends the process with a message.
package client

import (
	"bytes"
	"fmt"
	"log"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Result is the result of one load.
type Result struct {
	Events   int           // acknowledged
	Took     time.Duration // from the first request to the last answer
	P50, P99 time.Duration // from a request to its answer
	Used     time.Duration // the client's own processor time
}

// Load sends requests over some connections for a while. Each connection sends
// the next request when it has the answer to the one before (a closed loop).
// An answer must be 200 and say that it succeeded.
func Load(addr string, r *Request, conns, customers int, length time.Duration) Result {
	return LoadAll(addr, []*Request{r}, conns, customers, length)
}

// LoadAll is [Load] with several requests of the same size. Each connection
// sends one of them.
func LoadAll(addr string, requests []*Request, conns, customers int, length time.Duration) Result {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	to := netip.MustParseAddrPort(addr)
	poll, err := syscall.EpollCreate1(0)
	must(err)
	defer syscall.Close(poll)
	all := make([]connection, conns)
	for i := range all {
		all[i] = connection{fd: dial(to), customer: i, micros: time.Now().UnixMicro(), in: make([]byte, 0, 16<<10)}
		must(syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, all[i].fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}))
		defer syscall.Close(all[i].fd)
	}
	times := make([]time.Duration, 0, 1<<20)
	ready := make([]syscall.EpollEvent, conns)
	used, start := processorTime(), time.Now()
	for i := range all {
		all[i].send(requests[i%len(requests)], conns, customers)
	}
	for open := conns; open > 0; {
		n, err := syscall.EpollWait(poll, ready, -1)
		if err == syscall.EINTR {
			continue
		}
		must(err)
		for _, event := range ready[:n] {
			c := &all[event.Fd]
			if !c.answered() {
				continue
			}
			now := time.Now()
			times = append(times, now.Sub(c.sent))
			if now.Sub(start) >= length {
				open--
				continue
			}
			c.send(requests[int(event.Fd)%len(requests)], conns, customers)
		}
	}
	res := Result{Events: len(times) * len(requests[0].events), Took: time.Since(start), Used: processorTime() - used}
	slices.Sort(times)
	res.P50, res.P99 = times[len(times)/2], times[len(times)*99/100]
	return res
}

// connection is one of the connections. The events of a customer come over
// more than one, each with a clock of its own, so that they do not arrive in
// order of time.
type connection struct {
	fd       int
	customer int
	micros   int64 // the time of its last event, since 1970
	sent     time.Time
	in       []byte // what has come of the answer
}

// dial connects. The socket holds a whole request, so that sending one does not
// wait for the server to read it.
func dial(to netip.AddrPort) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(err)
	must(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 200<<10))
	must(syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
	must(syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1))
	return fd
}

func (c *connection) send(r *Request, conns, customers int) {
	for _, e := range r.events {
		c.micros++
		c.customer = (c.customer + conns) % customers
		digits(r.text[e.customer:e.customer+8], int64(c.customer))
		digits(r.text[e.seconds:e.seconds+10], c.micros/1e6)
		digits(r.text[e.micros:e.micros+6], c.micros%1e6)
	}
	c.sent = time.Now()
	n, err := syscall.Write(c.fd, r.text)
	must(err)
	if n < len(r.text) {
		log.Fatalf("%d of %d bytes were sent", n, len(r.text))
	}
}

// answered reads what has arrived, and reports whether the answer is complete.
func (c *connection) answered() bool {
	n, err := syscall.Read(c.fd, c.in[len(c.in):cap(c.in)])
	must(err)
	if n == 0 {
		log.Fatalf("the server closed a connection, or its answer is too long; it had sent %q", c.in)
	}
	c.in = c.in[:len(c.in)+n]
	head, body, found := bytes.Cut(c.in, []byte("\r\n\r\n"))
	if !found {
		return false
	}
	_, length, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	size, err := strconv.Atoi(string(length))
	must(err)
	if len(body) < size {
		return false
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) || !bytes.Contains(body, []byte(`"success":true`)) || bytes.Contains(body, []byte(`"success":false`)) {
		log.Fatalf("%s", c.in)
	}
	c.in = c.in[:0]
	return true
}

func processorTime() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Request is a request whose events differ each time it is sent.
type Request struct {
	text   []byte
	events []places
}

// places are where the digits of an event stand in a request.
type places struct{ customer, seconds, micros int }

// The parts of an event of about 500 bytes, as a shop's page sends it.
const (
	customer = `{"customer_ids":{"cookie":"`
	seconds  = `-4782-47ae-ba14-df6e29eefb36"},"event_type":"view_item","timestamp":`
	rest     = `,"properties":{"item_id":"sku-001234","title":"Trail running shoe 12, waterproof","category":"Shoes > Running > Trail","price":119.90,` +
		`"currency":"EUR","stock":17,"url":"https://shop.example/p/001234?utm_source=newsletter&utm_campaign=autumn","referrer":"https://www.example.org/search",` +
		`"os":"Android","browser":"Chrome 141","language":"de-DE","viewport":"412x915","discount":false}}`
	event = customer + "00000000" + seconds + "0000000000.000000" + rest
)

// NewRequest returns a request of the tracking API for a project with a public
// key. If size is 1, it sends a single event, otherwise a batch of that many
// events.
func NewRequest(project, token string, size int) *Request {
	path, before, between, after := "customers/events", "", "", ""
	if size > 1 {
		path, before, between, after = "batch", `{"commands":[{"name":"customers/events","data":`, `},{"name":"customers/events","data":`, `}]}`
	}
	length := len(before) + size*len(event) + (size-1)*len(between) + len(after)
	r := &Request{text: fmt.Appendf(nil, "POST /track/v2/projects/%s/%s HTTP/1.1\r\nHost: bench\r\nAuthorization: Token %s\r\n"+
		"Content-Type: application/json\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: %d\r\n\r\n%s", project, path, token, length, before)}
	for i := range size {
		if i > 0 {
			r.text = append(r.text, between...)
		}
		at := len(r.text) + len(customer)
		clock := at + 8 + len(seconds)
		r.events = append(r.events, places{customer: at, seconds: clock, micros: clock + 11})
		r.text = append(r.text, event...)
	}
	r.text = append(r.text, after...)
	return r
}

// String returns the request as it was last sent.
func (r *Request) String() string { return string(r.text) }

// digits writes n in decimal digits over all of b.
func digits(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
