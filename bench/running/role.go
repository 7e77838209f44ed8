package running

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// StartRole starts this program again, as a process that calls [Serve]. args
// make it do so. needs are running processes that it depends on, such as a
// database. The returned Server stops them as well.
func StartRole(needs []*exec.Cmd, args ...string) *Server {
	self, err := os.Executable()
	must(err)
	cmd := Command(self, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	addr, err := bufio.NewReader(out).ReadString('\n')
	must(err)
	return &Server{Public: strings.TrimSpace(addr), cmds: append(needs, cmd)}
}

// Serve is the process that [StartRole] starts: it prints its address, and
// serves until it is stopped.
func Serve(h http.HandlerFunc) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(ln.Addr())
	must((&http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}).Serve(ln))
}

// Bare is the least that a handler can do: it reads the body and keeps nothing.
func Bare(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	must(err)
	Succeed(w)
}

// Succeed answers that all went well.
func Succeed(w http.ResponseWriter) {
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = io.WriteString(w, `{"errors":[],"success":true}`) // the client may be gone
}
