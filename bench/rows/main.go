// Command rows writes made-up events as the NDJSON that `trackway import` reads: a month of a shop, a few of whose customers come
// much more often than most.
//
//	go run ./rows -events 20000000 -customers 1000000 | trackway import -
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
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
	r := rand.New(rand.NewPCG(1, 2))
	types := []string{"page_visit", "view_item", "cart_update", "purchase", "search"}
	who := 0
	for n := range *events {
		if n%5 == 0 { // a visitor does some things in a row
			if who = r.IntN(*customers); r.IntN(3) > 0 { // one in fifty comes a hundred times as often as the others
				who = r.IntN(max(*customers/50, 1))
			}
		}
		at := start + n*(month / *events)
		item := r.IntN(40_000)
		fmt.Fprintf(out, `{"name":"customers/events","data":{"customer_ids":{"cookie":"%08x-4782-47ae-ba14-df6e29eefb36"},`+
			`"event_type":"%s","timestamp":%d.%06d,"properties":{"browser":"Chrome %d","campaign":"autumn-%d",`+
			`"category":"Shoes > Running > Trail %d","currency":"EUR","item_id":"sku-%06d","language":"de-DE","os":"Android %d","price":%d.90,`+
			`"referrer":"https://www.example.org/search?q=%x","session":"%016x","title":"Trail running shoe %d, waterproof, with a sole for wet rock",`+
			`"url":"https://shop.example/p/%06d?utm_source=newsletter&utm_medium=email","viewport":"%dx%d"}}}`+"\n",
			who, types[r.IntN(len(types))], at/1_000_000, at%1_000_000, 120+r.IntN(22), r.IntN(30), item%300, item, 9+r.IntN(7), item%200,
			r.IntN(1<<24), r.Uint64(), item, item, 360+r.IntN(80), 700+r.IntN(250))
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
