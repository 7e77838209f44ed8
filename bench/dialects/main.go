// Command dialects measures what a message costs the server in the API of
// another product, compared with the same event in the tracking API: the real
// binary, whole calls over HTTP, and a store on disk. The dialects take turns,
// each with a fresh data directory, and each leaves the same events in the
// store. It counts the server's processor time only. It prints Markdown.
//
//	go run ./dialects                 # batches of 50, and single calls
//	go run ./dialects -binary SERVER  # a server that was built before
//	go run ./dialects -only otlp-json -profile FILE
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trackway/bench/rounds"
	"trackway/bench/running"
)

// plenty is a limit that no load reaches, in calls a minute.
const plenty = 4_000_000

var (
	binary  = flag.String("binary", "", "the server; without it, it is built")
	turns   = flag.Int("rounds", 7, "rounds; medians are printed")
	batches = flag.Int("batches", 1000, "batches of 50 in one measurement")
	singles = flag.Int("singles", 15_000, "single calls in one measurement")
	conns   = flag.Int("conns", 64, "connections")
	only    = flag.String("only", "", "measure only this dialect, beside the tracking API")
	profile = flag.String("profile", "", "save a CPU profile of the last measurement of batches to this `file`")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	runtime.LockOSThread() // the servers end with the thread that started them
	if *binary == "" {
		dir, err := os.MkdirTemp("", "trackway-bench-")
		must(err)
		defer os.RemoveAll(dir)
		*binary = running.Build(dir)
	}
	subjects := slices.DeleteFunc(slices.Clone(dialects), func(d dialect) bool { return *only != "" && d.name != *only && d.name != "tracking" })
	table(subjects, "batches of 50", *batches, 50)
	table(subjects, "single calls", *singles, 1)
}

func table(subjects []dialect, title string, calls, size int) {
	if calls == 0 {
		return
	}
	used := make([][]float64, len(subjects))
	for round := range *turns {
		for i := range subjects {
			at := (i + round) % len(subjects) // each is first as often as the others
			used[at] = append(used[at], measure(&subjects[at], calls, size))
		}
	}
	fmt.Printf("\n| %s | µs of processor time a message | it ÷ tracking |\n| --- | --- | --- |\n", title)
	for i, d := range subjects {
		ratios := make([]float64, *turns)
		for round := range ratios {
			ratios[round] = used[i][round] / used[0][round]
		}
		fmt.Printf("| %s | %.1f | **%.2f** (%.2f to %.2f) |\n", d.name, rounds.Median(used[i]), rounds.Median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
}

// measure returns the processor time of a fresh server for a message, in
// microseconds.
func measure(d *dialect, calls, size int) float64 {
	dir, err := os.MkdirTemp("", "trackway-bench-")
	must(err)
	defer os.RemoveAll(dir)
	s := running.Start(*binary, dir, plenty, "")
	defer s.Stop()
	bodies, start := make([][]byte, calls), time.Now()
	for i := range bodies {
		bodies[i] = d.body(start, i*size, size)
	}
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *conns}}
	defer web.CloseIdleConnections()
	done := make(chan struct{})
	if *profile != "" && size > 1 {
		go func() {
			s.Profile(*profile, 3*time.Second)
			close(done)
		}()
	} else {
		close(done)
	}
	before := s.ProcessorTime()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range *conns {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(calls); i = next.Add(1) - 1 {
				d.send(web, s.Public, size, bodies[i])
			}
		})
	}
	workers.Wait()
	used := s.ProcessorTime() - before
	<-done
	if got := stored(s); got != calls*size {
		log.Fatalf("%s: %d events are stored, not %d", d.name, got, calls*size)
	}
	return used.Seconds() * 1e6 / float64(calls*size)
}

func (d *dialect) send(web *http.Client, address string, size int, body []byte) {
	path := d.single
	if size > 1 {
		path = d.batch
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+address+path, bytes.NewReader(body))
	must(err)
	r.Header.Set("Content-Type", d.media)
	if d.key != "" {
		r.Header.Set("Authorization", d.key)
	}
	resp, err := web.Do(r)
	must(err)
	answer, err := io.ReadAll(resp.Body)
	must(err)
	must(resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		log.Fatalf("%s: %d %s", d.name, resp.StatusCode, answer)
	}
}

var added = regexp.MustCompile(`(?m)^trackway_commands_total\{.*outcome="stored".*\} (\S+)$`)

// stored returns how many events the server has stored.
func stored(s *running.Server) (n int) {
	resp, err := http.Get("http://" + s.Ops + "/metrics")
	must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(err)
	for _, m := range added.FindAllStringSubmatch(string(text), -1) {
		count, err := strconv.ParseFloat(m[1], 64)
		must(err)
		n += int(count)
	}
	return n
}

// join returns size messages, separated by commas, from number first on.
func join(first, size int, message func(n int) string) string {
	all := make([]string, size)
	for i := range all {
		all[i] = message(first + i)
	}
	return strings.Join(all, ",")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
