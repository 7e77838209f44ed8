// Command rows writes made-up events as the NDJSON that `trackway import`
// reads: a month of a shop.
//
//	go run ./rows -events 20000000 -customers 1000000 | trackway import -
package main

import (
	"bufio"
	"flag"
	"log"
	"os"

	"trackway/bench/shop"
)

const (
	start = 1_793_500_000_000_000 // microseconds; in November 2026
	month = 30 * 24 * 3600 * 1_000_000
)

func main() {
	log.SetFlags(0)
	events := flag.Int("events", 20_000_000, "rows to write")
	customers := flag.Int("customers", 1_000_000, "customers they are of")
	flag.Parse()
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	s := shop.New(1, *customers)
	var row []byte
	for n := range *events {
		row = append(s.AppendCommand(row[:0], int64(start+n*(month / *events))), '\n')
		if _, err := out.Write(row); err != nil {
			log.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
