package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// reads are the figures of one reading process. Times are in microseconds.
type reads struct {
	Mode       string
	P50, P99   float64
	Bytes      int     // of one page of the timeline, at the median customer
	ScanMiddle float64 // events a second
	ScanTail   float64
	PeakRSS    uint64
}

// The modes of reading 100 events of a customer.
const (
	warm  = "warm"  // the customer was read just before
	pages = "pages" // fresh block cache; the kernel has the files
	cold  = "cold"  // fresh block cache; the kernel was told to forget the files before each customer
	scans = "scan"  // the log in order, of a fresh process; the kernel has the files
)

const (
	sampled    = 300
	repeated   = 5
	scanEvents = 1_000_000
	scanLimit  = 15 * time.Second
	scanStep   = 20_000
)

func runReader(dir string, v variant, mode string, byGet bool, events, persons uint64, out io.Writer) error {
	if mode != cold {
		if err := loadPages(dir); err != nil {
			return err
		}
	}
	s, err := openStore(dir, v, cachedBlocks, true, &stalls{})
	if err != nil {
		return err
	}
	result := &reads{Mode: mode}
	if mode == scans {
		err = result.scan(s, events)
	} else {
		err = result.timelines(s, dir, byGet, sample(events, persons))
	}
	if err != nil {
		return err
	}
	result.PeakRSS = peakRSS()
	if err := s.db.Close(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// sample returns persons that have between 100 and 140 events, evenly taken from all such.
func sample(events, persons uint64) []uint64 {
	counts := make([]uint32, persons)
	for i := range events {
		if !resent(i) {
			person, _ := personOf(i, persons)
			counts[person]++
		}
	}
	var fit []uint64
	for person, n := range counts {
		if n >= pageOfTimeline && n <= 140 {
			fit = append(fit, uint64(person))
		}
	}
	var some []uint64
	for i := range min(sampled, len(fit)) {
		some = append(some, fit[i*len(fit)/sampled])
	}
	return some
}

func (r *reads) timelines(s *store, dir string, byGet bool, persons []uint64) error {
	var took []float64
	for _, person := range persons {
		customer, err := lookUp(s.db, appendIDKey(nil, person))
		if err != nil {
			return err
		}
		times := 1
		switch r.Mode {
		case cold:
			if err := dropPages(dir); err != nil {
				return err
			}
		case warm:
			if _, err := s.timeline(customer, byGet); err != nil {
				return err
			}
			times = repeated
		}
		for range times {
			start := time.Now()
			if r.Bytes, err = s.timeline(customer, byGet); err != nil {
				return err
			}
			took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
		}
	}
	if len(took) == 0 {
		return fmt.Errorf("nobody has %d events", pageOfTimeline)
	}
	slices.Sort(took)
	r.P50, r.P99 = took[len(took)/2], took[len(took)*99/100]
	return nil
}

// scan reads from the middle of the log, as a sink that catches up does, and its end, as watchers do.
func (r *reads) scan(s *store, events uint64) (err error) {
	if r.ScanMiddle, err = rateOf(s, events/3, scanEvents); err != nil {
		return err
	}
	r.ScanTail, err = rateOf(s, events-events/256-4*scanStep, 4*scanStep)
	return err
}

func rateOf(s *store, from uint64, events int) (float64, error) {
	start, read := time.Now(), 0
	for read < events && time.Since(start) < scanLimit {
		n, err := s.scan(from+uint64(read), scanStep)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		read += n
	}
	return float64(read) / time.Since(start).Seconds(), nil
}
