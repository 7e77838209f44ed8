package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/auth"
	"trackway/internal/clientip"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/internal/store"
)

const (
	project = "12345678-1234-1234-1234-123456789abc"
	token   = "public-token-of-the-benchmark"
)

// serve is the server process. It prints its address and serves until its standard input ends.
func serve(role string, fsync time.Duration) error {
	var handler http.Handler = http.HandlerFunc(bare)
	if role == "trackway" {
		dir, err := os.MkdirTemp("", "trackway-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		st, err := store.Open(dir, store.Options{FS: slowFS{vfs.Default, fsync}, Fatal: func(err error) { panic(err) }})
		if err != nil {
			return err
		}
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // as trackway serve does
		defer st.Close()                              // before its directory goes
		if handler, err = tracking(st); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(ln)
	if profile := os.Getenv("CPUPROFILE"); profile != "" && role == "trackway" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// bare is the baseline: the body is read, nothing is done with it.
func bare(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		panic(err)
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Write([]byte(`{"errors":[],"success":true}`))
}

// eraser is a store as the API asks for it. Nothing is erased here.
type eraser struct{ *store.Store }

// Erase implements [api.Eraser].
func (e eraser) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error) {
	done, err := e.Store.Erase(project, c, personal, at)
	return done.Erasure, err
}

// tracking is the server as it runs, with limits that this load does not reach.
func tracking(st *store.Store) (http.Handler, error) {
	projects := []trackway.Project{{
		Token: project, Hard: []string{"registered"}, Soft: []string{"cookie"}, Keys: []trackway.Key{{Kind: trackway.PublicKey, ID: token}},
	}}
	if err := st.Register(projects); err != nil {
		return nil, err
	}
	clients, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: "X-Forwarded-For"})
	if err != nil {
		return nil, err
	}
	set, err := limit.NewSet([]trackway.Policy{{
		Name: "track", Paths: []string{"/track/"}, Limit: 4_000_000, Window: time.Second, Per: trackway.PerIP,
	}}, nil)
	if err != nil {
		return nil, err
	}
	reg, now := prometheus.NewRegistry(), time.Now()
	return api.New(api.Config{
		Access: api.Access{Name: "bench", Keys: auth.New(projects), Clients: clients}, Limits: limit.New(set, 1<<20),
		Ingest: ingest.New(st, reg), Store: st, Eraser: eraser{st}, Log: slog.New(slog.DiscardHandler), Registry: reg,
		Watch: watch.New(now), Rates: rates.New(now), Live: live.New(st, func(err error) { panic(err) }),
		Traffic: traffic.New("", nil, slog.New(slog.DiscardHandler)), // off, as it is by default
	}), nil
}
