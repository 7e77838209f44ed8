// Command server measures what a durable acknowledgement costs: the real binary
// against a bare net/http handler that reads the body and keeps nothing, and
// against an older binary. They take turns, with the same client and the same
// requests, each with a fresh data directory. It prints Markdown.
//
//	go run ./server                           # single events, and batches of 50
//	go run ./server -binary NEW -against OLD  # two binaries and the handler
//	go run ./server -against OLD -together    # two servers under load at once
//	go run ./server -fsync 2ms -conns 512     # a slow disk (needs strace)
//	go run ./server -partitions 2             # two partitions and projects, and one
//	go run ./server -servers 3                # three servers of a cluster, and one
//	go run ./server -servers 3 -cores 0.5     # the same, half a processor for each
//	go run ./server -with FILE                # what a piece of configuration costs
//	go run ./server -contract                 # what a contract for the events costs
//	go run ./server -serve bare               # the handler alone, for wrk and others
//
// The last column is the processor time of the client, in the same unit as the
// server's. As long as it is small compared with the server's, the figures
// measure the server and not the client.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"trackway/bench/rounds"
	"trackway/bench/running"
)

// contract is one that the events of the benchmark keep. It says something
// about each of their properties, and refuses others.
const contract = `    contracts:
      - type: view_item
        action: refuse
        schema:
          type: object
          required: [item_id, title, category, price, currency, stock, url]
          additionalProperties: false
          properties:
            item_id: {type: string, pattern: "^sku-[0-9]{6}$"}
            title: {type: string, minLength: 1, maxLength: 200}
            category: {type: string}
            price: {type: number, minimum: 0}
            currency: {enum: [EUR, USD, GBP]}
            stock: {type: integer, minimum: 0}
            url: {type: string, format: uri}
            referrer: {type: string}
            os: {enum: [Android, iOS, Linux, macOS, Windows]}
            browser: {type: string}
            language: {type: string, minLength: 2, maxLength: 12}
            viewport: {type: string, maxLength: 12}
            discount: {type: boolean}
`

// plenty is a limit that no load reaches, in calls a minute.
const plenty = 4_000_000

func main() {
	log.SetFlags(0)
	role := flag.String("serve", "", "be a server instead, and print its address: bare")
	binary := flag.String("binary", "", "the server; without it, it is built")
	against := flag.String("against", "", "an older server to compare with")
	with := flag.String("with", "", "a `file` with more configuration: the server that has it is measured beside the one that does not")
	agreed := flag.Bool("contract", false, "measure a server with a contract for the events beside one without")
	partitions := flag.Int("partitions", 0, "measure a server with so many partitions beside one with a single one; each has as many projects")
	servers := flag.Int("servers", 0, "measure a cluster of so many servers on this machine beside a server alone: once through its leader, once through a follower")
	flags := rounds.NewFlags()
	flag.Parse()
	switch *role {
	case "":
	case "bare":
		running.Serve(running.Bare)
	default:
		log.Fatalf("there is no server %q", *role)
	}
	dir, err := os.MkdirTemp("", "trackway-bench-")
	must(err)
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = running.Build(dir)
	}
	trackway := func(name, binary, config string) rounds.Subject {
		return rounds.Subject{Name: name, Start: func(dir string) *running.Server {
			return running.Start(binary, dir, plenty, config)
		}}
	}
	subjects := []rounds.Subject{trackway("Trackway", *binary, "")}
	if *partitions > 1 {
		running.Projects = *partitions
		several := trackway(fmt.Sprint(*partitions, " partitions"), *binary, fmt.Sprintf("partitions: %d\n", *partitions))
		subjects[0].Name = "one partition"
		flags.Compare([]rounds.Subject{several, subjects[0]})
		return
	}
	if *agreed {
		subjects[0].Name = "without a contract"
		flags.Compare(append(subjects, rounds.Subject{Name: "with one", Start: func(dir string) *running.Server {
			return running.StartWith(*binary, dir, plenty, contract, "")
		}}))
		return
	}
	if *servers > 1 {
		subjects[0].Name = "one server"
		for i, through := range []string{"the leader", "a follower"} {
			start := func(name, binary string) rounds.Subject {
				return rounds.Subject{Name: name, Start: func(dir string) *running.Server {
					return running.StartCluster(binary, dir, plenty, *servers, i, "")
				}}
			}
			subjects = append(subjects, start(fmt.Sprint(*servers, ", through ", through), *binary))
			if *against != "" {
				subjects = append(subjects, start(fmt.Sprint("older ", *servers, ", through ", through), *against))
			}
		}
		flags.Compare(subjects)
		return
	}
	if *with != "" {
		config, err := os.ReadFile(*with)
		must(err)
		subjects = append(subjects, trackway("with "+filepath.Base(*with), *binary, string(config)))
	}
	if *against != "" {
		subjects = append(subjects, trackway("the older one", *against, ""))
	}
	if !flags.Together { // the handler would take most of the machine
		subjects = append(subjects, rounds.Subject{Name: "bare handler, keeps nothing", Start: func(string) *running.Server {
			return running.StartRole(nil, "-serve", "bare")
		}})
	}
	flags.Compare(subjects)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
