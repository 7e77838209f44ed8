package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"trackway/bench/running"
)

// peer is the server to compare with: a handler of net/http that limits each
// address by a limiter of golang.org/x/time/rate, in a process of its own.
type peer struct {
	addr string
	cmd  *exec.Cmd
	in   io.Closer
}

func startPeer() *peer {
	cmd := exec.Command(os.Args[0], "-peer")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	addr, err := bufio.NewReader(out).ReadString('\n')
	must(err)
	return &peer{addr: addr[:len(addr)-1], cmd: cmd, in: in}
}

func (p *peer) stop() {
	must(p.in.Close())
	must(p.cmd.Wait())
}

// bePeer is the peer's process. It prints its address, and serves until its
// standard input ends. At first an address may make as many calls as the server
// would admit. Then it regains one call an hour, so a flooder is refused
// however slow it is.
func bePeer() {
	var limiters sync.Map
	refused := []byte(`{"status":429,"error":"rate limit","message":"Too many requests."}`)
	mux := http.NewServeMux()
	mux.HandleFunc("/track/v2/projects/"+running.Project+"/", func(w http.ResponseWriter, r *http.Request) {
		from := r.Header.Get("X-Forwarded-For")
		l, ok := limiters.Load(from)
		if !ok {
			l, _ = limiters.LoadOrStore(from, rate.NewLimiter(rate.Every(time.Hour), most(from)))
		}
		w.Header().Set("Content-Type", "application/json")
		if l.(*rate.Limiter).Allow() { // of this map
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"success":true}`)
			return
		}
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write(refused)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(ln.Addr())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(srv.Serve(ln)) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// most returns how many calls an address may make.
func most(from string) int {
	if strings.HasPrefix(from, "198.1") && !strings.HasPrefix(from, "198.51.") {
		return 10
	}
	return 6000
}
