// Command fill measures the real binary as its store grows. It sends events in
// batches of 50 until there are many, and prints for each step what an event
// costs. Then it kills the server, starts it again on the same store, and
// prints how long it takes until it is ready, and what the store takes on the
// disk.
//
//	go run ./fill -events 20000000 -customers 1000000
//	go run ./fill -binary OLD
//	go run ./fill -events 100000000 -turns 5
//	go run ./fill -events 1500000 -customers 75000 -exports 200
//
// Sixteen writers each wait for the answer to one batch before they send the
// next. They make up realistic events, which costs more than sending them, so
// the rate says little; the processor time is that of the server alone.
//
// Machines are not equally fast at all times. So with -turns, one more step of
// events goes to the server in turn with the first step of a new one. With
// -exports, it then asks for all of a customer who comes often, twice in a row,
// and prints how long the answers take.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"trackway/bench/running"
	"trackway/bench/shop"
)

const (
	batch   = 50
	writers = 16
	plenty  = 4_000_000 // calls a minute: a limit that is not reached
)

func main() {
	log.SetFlags(0)
	events := flag.Int("events", 20_000_000, "events to send")
	customers := flag.Int("customers", 1_000_000, "customers they are of: a few are much more active than most")
	step := flag.Int("step", 1_000_000, "events in a line of the table")
	turns := flag.Int("turns", 0, "steps to send after that, in turn with the first step of a new store")
	exports := flag.Int("exports", 0, "customers to export after that")
	binary := flag.String("binary", "", "the server; without it, it is built")
	flag.Parse()
	runtime.LockOSThread() // the server ends with the thread that started it
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
	dir, err := os.MkdirTemp("", "trackway-fill-")
	must(err)
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = running.Build(dir)
	}
	store := filepath.Join(dir, "data")
	s := running.Start(*binary, dir, plenty, "")
	shops := shopsOf(*customers)
	fmt.Println("| million events | µs of processor time an event | events/s | memory MB | bytes on the disk an event |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	var costs []float64
	sent := 0
	for sent < *events {
		start, before := time.Now(), s.ProcessorTime()
		n := fill(client, s.Public, shops, min(*step, *events-sent))
		sent += n
		took, used := time.Since(start), s.ProcessorTime()-before
		costs = append(costs, used.Seconds()*1e6/float64(n))
		fmt.Printf("| %.1f | %.1f | %.0f | %d | %d |\n", float64(sent)/1e6, costs[len(costs)-1], float64(n)/took.Seconds(), s.Memory()/1e6, size(store)/int64(sent))
	}
	fmt.Printf("\nprocessor time, the last step ÷ the first: %.2f\n", costs[len(costs)-1]/costs[0])
	sent += compare(client, s, shops, *turns, *step, func() (*running.Server, []*shop.Shop, func()) {
		home := filepath.Join(dir, "new")
		must(os.Mkdir(home, 0o700))
		s := running.Start(*binary, home, plenty, "")
		return s, shopsOf(*customers), func() {
			s.Stop()
			must(os.RemoveAll(home))
		}
	})
	export(client, s.Public, shops[0], *exports)
	s.Kill()
	start := time.Now()
	s = running.Start(*binary, dir, plenty, "")
	ready(s)
	fmt.Printf("after kill -9, ready in %.2f s, with %.2f s of processor time\n", time.Since(start).Seconds(), s.ProcessorTime().Seconds())
	idle(s)
	fmt.Printf("once it is idle: %d bytes on the disk an event, %d MB of memory\n", size(store)/int64(sent), s.Memory()/1e6)
	s.Stop()
	fmt.Printf("stopped: %d bytes on the disk an event\n", size(store)/int64(sent))
}

func shopsOf(customers int) []*shop.Shop {
	shops := make([]*shop.Shop, writers)
	for i := range shops {
		shops[i] = shop.New(uint64(i), customers)
	}
	return shops
}

// compare sends steps of events to a server, in turn with first steps to new
// ones. It prints what an event costs on both, and returns how many events the
// server got. Its work while it waits for its turn counts as well.
func compare(client *http.Client, s *running.Server, shops []*shop.Shop, turns, step int, begin func() (*running.Server, []*shop.Shop, func())) (sent int) {
	if turns == 0 {
		return 0
	}
	fmt.Println("\n| µs of processor time an event | a new store |\n| --- | --- |")
	var costs, first float64
	for range turns {
		before := s.ProcessorTime()
		n := fill(client, s.Public, shops, step)
		fresh, its, end := begin()
		began := fresh.ProcessorTime()
		m := fill(client, fresh.Public, its, step)
		of := (fresh.ProcessorTime() - began).Seconds() * 1e6 / float64(m)
		end()
		cost := (s.ProcessorTime() - before).Seconds() * 1e6 / float64(n)
		fmt.Printf("| %.1f | %.1f |\n", cost, of)
		costs, first, sent = costs+cost, first+of, sent+n
	}
	fmt.Printf("\nit ÷ a new store: %.2f\n", costs/first)
	return sent
}

var clock atomic.Int64 // microseconds: events come in order of time

// fill sends at least n events, and returns how many.
func fill(client *http.Client, addr string, shops []*shop.Shop, n int) int {
	url := fmt.Sprintf("http://%s/track/v2/projects/%s/batch", addr, running.Project)
	var wg sync.WaitGroup
	var claimed atomic.Int64
	for _, s := range shops {
		wg.Go(func() {
			var body []byte
			for claimed.Add(batch) < int64(n)+batch {
				body = append(body[:0], `{"commands":[`...)
				for i := range batch {
					if i > 0 {
						body = append(body, ',')
					}
					body = s.AppendCommand(body, 1_760_000_000_000_000+clock.Add(997))
				}
				post(client, url, append(body, "]}"...))
			}
		})
	}
	wg.Wait()
	return (n + batch - 1) / batch * batch
}

// post sends a batch, of which every event must be stored.
func post(client *http.Client, url string, body []byte) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	must(err)
	req.Header.Set("Authorization", "Token "+running.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	must(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(err)
	if res.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"success":false`)) {
		log.Fatalf("%s: %s", res.Status, answer)
	}
}

// export asks for all of some customers, twice in a row, and prints how long
// the answers took. Each call comes from an address of its own, so that no
// limit is reached.
func export(client *http.Client, addr string, shop *shop.Shop, customers int) {
	if customers == 0 {
		return
	}
	url := fmt.Sprintf("http://%s/data/v2/projects/%s/customers/export-one", addr, running.Project)
	var took [2][]time.Duration
	events, size := 0, 0
	for i := range customers {
		body := fmt.Appendf(nil, `{"customer_ids":{"cookie":"%s"}}`, shop.Regular())
		for again := range took {
			req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
			must(err)
			req.SetBasicAuth(running.KeyID, running.Secret)
			req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", i>>8, i&255))
			start := time.Now()
			res, err := client.Do(req)
			must(err)
			answer, err := io.ReadAll(res.Body)
			must(errors.Join(err, res.Body.Close()))
			took[again] = append(took[again], time.Since(start))
			if res.StatusCode != http.StatusOK {
				log.Fatalf("%s: %s", res.Status, answer)
			}
			events, size = events+bytes.Count(answer, []byte(`"timestamp"`)), size+len(answer)
		}
	}
	for _, t := range took {
		slices.Sort(t)
	}
	median := func(t []time.Duration) float64 { return t[len(t)/2].Seconds() * 1e3 }
	fmt.Printf("export-one of %d events, %d kB: p50 %.1f ms the first time, %.1f ms again\n",
		events/2/customers, size/2/customers/1000, median(took[0]), median(took[1]))
}

// ready fails if the server is not ready.
func ready(s *running.Server) {
	res, err := http.Get("http://" + s.Ops + "/-/ready")
	must(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		log.Fatalf("the server has started and is not ready: %s", res.Status)
	}
}

// idle waits until the server's work in the background is done: until it uses
// less than a tenth of a processor for five seconds, or three minutes have
// passed.
func idle(s *running.Server) {
	const pause = 5 * time.Second
	for range 36 {
		before := s.ProcessorTime()
		time.Sleep(pause)
		if s.ProcessorTime()-before < pause/10 {
			return
		}
	}
}

// size returns how much of the disk a directory takes. It counts the blocks of
// the files, because a file may have more blocks than its content needs yet.
func size(dir string) (bytes int64) {
	must(filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
				return nil
			}
			return err
		}
		if e.IsDir() {
			return nil
		}
		if info, err := e.Info(); err == nil { // it may be gone
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512 // stat(2) counts in these
		}
		return nil
	}))
	return bytes
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
