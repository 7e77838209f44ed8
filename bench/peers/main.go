// Command peers measures Trackway beside what one could build instead: a Go
// handler in front of PostgreSQL, SQLite or Redis. All take the same requests
// from the same client, in turn, and answer when the events are on the disk. It
// prints Markdown. The processor time and the memory of a peer are those of all
// its processes, including its database.
//
//	apt-get install postgresql redis-server gcc
//	go run ./peers                       # single events, and batches of 50
//	go run ./peers -only batch -peers redis
//
// A peer whose programs are missing is left out, with a message. SQLite needs a
// C compiler. Each peer decodes the request with encoding/json and keeps the
// customer, type, time and properties of each event, so that a query can find
// the events of a customer. It does nothing else: no limits, keys, merging of
// customers, search for duplicates, or usage. The databases run with their
// default settings but for what is named here, in a fresh directory, on a Unix
// socket:
//
//   - PostgreSQL: pgx, a pool of 32 connections; an INSERT for a single event,
//     one INSERT of many rows for a batch. A table with an index by customer
//     and time; the properties are jsonb.
//   - SQLite: mattn/go-sqlite3, journal_mode=WAL, synchronous=FULL. Requests
//     that wait share a transaction. The same table; the properties are text.
//   - Redis: rueidis, which pipelines the commands of all requests; appendonly
//     yes, appendfsync always, no snapshots. A list for each customer, one
//     RPUSH for an event.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"trackway/bench/rounds"
	"trackway/bench/running"
)

// plenty is a limit that no load reaches, in calls a minute.
const plenty = 4_000_000

// peer is a database, and a handler in front of it.
type peer struct {
	name, title string
	program     string // that it needs; "" if none
	install     string // how to get it
	start       func(dir string) (needs []*exec.Cmd, address string)
	open        func(address string) keeper
}

var peers = []peer{
	{"redis", "Go + Redis", "redis-server", "apt-get install redis-server", startRedis, openRedis},
	{"postgres", "Go + PostgreSQL", postgresProgram("initdb"), "apt-get install postgresql", startPostgres, openPostgres},
	{"sqlite", "Go + SQLite", "", "", startSQLite, openSQLite},
}

func main() {
	log.SetFlags(0)
	role := flag.String("serve", "", "internal: be the handler of this peer")
	address := flag.String("address", "", "internal: of the database of that handler")
	binary := flag.String("binary", "", "Trackway; without it, it is built")
	chosen := flag.String("peers", "redis,postgres,sqlite", "what to measure beside it")
	flags := rounds.NewFlags()
	flag.Parse()
	if *role == "bare" {
		running.Serve(running.Bare)
	}
	dir, err := os.MkdirTemp("", "trackway-bench-")
	must(err)
	defer os.RemoveAll(dir)
	if *binary == "" && *role == "" {
		*binary = running.Build(dir)
	}
	subjects := []rounds.Subject{
		{Name: "Trackway", Start: func(dir string) *running.Server { return running.Start(*binary, dir, plenty, "") }},
		{Name: "bare handler, keeps nothing", Start: func(string) *running.Server { return running.StartRole(nil, "-serve", "bare") }},
	}
	for _, p := range peers {
		if *role == p.name {
			running.Serve(handler(p.open(*address)))
		}
		if !strings.Contains(","+*chosen+",", ","+p.name+",") {
			continue
		}
		if _, err := exec.LookPath(p.program); err != nil && p.program != "" {
			fmt.Printf("%s is left out, for it needs %s: %s\n", p.title, p.program, p.install)
			continue
		}
		subjects = append(subjects, rounds.Subject{Name: p.title, Start: func(dir string) *running.Server {
			needs, address := p.start(dir)
			return running.StartRole(needs, "-serve", p.name, "-address", address)
		}})
	}
	if *role != "" {
		log.Fatalf("there is no server %q", *role)
	}
	flags.Compare(subjects)
}

// event is an event as the peers keep it.
type event struct {
	IDs        struct{ Cookie string } `json:"customer_ids"`
	Type       string                  `json:"event_type"`
	Timestamp  float64                 // seconds since 1970
	Properties json.RawMessage
}

func (e *event) time() time.Time { return time.UnixMicro(int64(math.Round(e.Timestamp * 1e6))) }

// keeper returns when the events of a request are on the disk.
type keeper func(ctx context.Context, events []event) error

// handler takes single events and batches as Trackway does.
func handler(keep keeper) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		must(err)
		var events []event
		if strings.HasSuffix(r.URL.Path, "/batch") {
			var batch struct{ Commands []struct{ Data event } }
			must(json.Unmarshal(body, &batch))
			for _, c := range batch.Commands {
				events = append(events, c.Data)
			}
		} else {
			events = make([]event, 1)
			must(json.Unmarshal(body, &events[0]))
		}
		must(keep(r.Context(), events))
		running.Succeed(w)
	}
}

// retry calls f until a database that was just started takes connections.
func retry(f func() error) {
	var err error
	for range 300 {
		if err = f(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	log.Fatal(err)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
