package running

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// StartCluster starts n servers of one cluster, the first of which leads, with
// their data in dir. Public is the address of one of them. The processor time
// and the memory are those of all. See [Start] for the other arguments.
func StartCluster(binary, dir string, limit, n, public int, more string) *Server {
	var peers []string
	for range n {
		peers = append(peers, strconv.Quote(free()))
	}
	all := &Server{}
	var ready []chan *Server
	run := func(i int, args ...string) {
		home := filepath.Join(dir, fmt.Sprint(i))
		args = append(append([]string{"cluster"}, args...), "--config", filepath.Join(home, "trackway.yaml"), "--data", filepath.Join(home, "data"))
		cmd := Command(binary, args...)
		cmd.Stderr = os.Stderr
		must(cmd.Run())
	}
	for i := range n {
		home := filepath.Join(dir, fmt.Sprint(i))
		must(os.Mkdir(home, 0o700))
		cluster := fmt.Sprintf("cluster: {name: bench, listen: %s, peers: [%s]}\n%s", peers[i], strings.Join(peers, ", "), more)
		s, lines := begin(binary, home, limit, "", cluster)
		all.cmds = append(all.cmds, s.cmds...)
		is := make(chan *Server, 1)
		ready = append(ready, is)
		waits := make(chan struct{}, 1)
		go func() {
			await(s, lines, waits)
			is <- s
		}()
		<-waits
	}
	run(0, "init")
	for i := 1; i < n; i++ {
		address, err := strconv.Unquote(peers[0])
		must(err)
		run(i, "join", address)
	}
	for i := range n {
		s := <-ready[i]
		all.OpsOf = append(all.OpsOf, s.Ops)
		if i == public {
			all.Public, all.Ops = s.Public, s.Ops
		}
	}
	time.Sleep(settling)
	return all
}

// settling is how long the servers of a new cluster have to get to know each
// other. They do much else at their start that no event is to blame for.
const settling = 8 * time.Second

// await reads what a server logs, until it is ready. It tells when the server
// waits for its cluster.
func await(s *Server, lines *bufio.Scanner, waits chan<- struct{}) {
	for lines.Scan() {
		var line struct{ Level, Msg, Public, Ops string }
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			fmt.Fprintln(os.Stderr, lines.Text())
			continue
		}
		switch {
		case line.Msg == "ready":
			s.Public, s.Ops = line.Public, line.Ops
			go func() {
				for lines.Scan() { // or the server would wait for a reader
				}
			}()
			return
		case strings.HasPrefix(line.Msg, "waiting for the cluster"):
			select {
			case waits <- struct{}{}:
			default:
			}
		case line.Level == "ERROR":
			fmt.Fprintln(os.Stderr, lines.Text())
		}
	}
	must(fmt.Errorf("a server of the cluster does not start"))
}

// free returns an address at which nobody listens.
func free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	return l.Addr().String()
}

// Profiles saves a CPU profile of each server of a cluster, with a number at
// the end of the name, all over the same time.
func (s *Server) Profiles(file string, length time.Duration) {
	done := make(chan struct{})
	for i, ops := range s.OpsOf {
		go func() {
			(&Server{Ops: ops}).Profile(fmt.Sprint(file, ".", i), length)
			done <- struct{}{}
		}()
	}
	for range s.OpsOf {
		<-done
	}
}
