// Command layout measures how events are best kept in Pebble: with the payload in the log, in order of arrival, or under the
// customer's key. Its one idea is that the variants take turns: each is a process of its own, which gets a hundredth of the
// events and is then stopped (SIGSTOP) with its compactions, so that the machine's drift hits all alike and nobody's background
// work is done on another's time. Ratios between variants are what to quote; absolute numbers are this machine's.
//
// It does not measure the server (trackway bench does), and its records are like the store's, not the same.
//
//	go run ./layout -dir /tmp/layout -events 20000000 -customers 1000000 -variants log,customer -json result.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "layout:", err)
		os.Exit(1)
	}
}

func run() error {
	var p plan
	var names, modes, worker, reader, file string
	flag.StringVar(&p.dir, "dir", "", "directory to fill; what it makes there is deleted afterwards")
	flag.Uint64Var(&p.events, "events", 20_000_000, "events to write")
	flag.Uint64Var(&p.customers, "customers", 1_000_000, "customers who do them")
	flag.DurationVar(&p.budget, "budget", time.Hour, "time that each variant may take for writing")
	flag.StringVar(&names, "variants", "log,customer", "which to measure, comma separated: "+strings.Join(variantNames(), ", "))
	flag.StringVar(&modes, "reads", strings.Join([]string{warm, pages, cold, scans}, ","), "what to measure of reading; empty: nothing")
	flag.StringVar(&file, "json", "", "file for the figures as JSON")
	flag.BoolVar(&p.byGet, "by-get", false, "read the log's events with one Get each instead of an iterator")
	flag.StringVar(&worker, "worker", "", "used by the program itself: be the writing process of this variant")
	flag.StringVar(&reader, "reader", "", "used by the program itself: be the reading process (variant:mode)")
	flag.Parse()
	p.modes = strings.FieldsFunc(modes, func(r rune) bool { return r == ',' })
	if p.dir == "" {
		return fmt.Errorf("-dir is needed")
	}
	if worker != "" {
		v, err := variantByName(worker)
		if err != nil {
			return err
		}
		return runWorker(p.dir, v, p.customers, os.Stdin, os.Stdout)
	}
	if reader != "" {
		name, mode, _ := strings.Cut(reader, ":")
		v, err := variantByName(name)
		if err != nil {
			return err
		}
		return runReader(p.dir, v, mode, p.byGet, p.events, p.customers, os.Stdout)
	}
	results, err := p.measure(strings.Split(names, ","))
	if err != nil {
		return err
	}
	writeTable(os.Stdout, results)
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o600)
}

func variantNames() (names []string) {
	for _, v := range variants {
		names = append(names, v.name)
	}
	return names
}
