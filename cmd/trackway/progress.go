package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"trackway/internal/terminal"
)

// How often progress is reported: on a terminal, in one line that changes;
// otherwise, in a new line each time.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 10 * time.Second
	barWidth  = 20
)

// progress reports how far the work on a file has come.
type progress struct {
	w     io.Writer
	live  bool // w is a terminal
	quiet bool
	name  string

	began, told time.Time
	first       int64 // bytes at the beginning: what was done before must not affect the rate
	firstRows   int64
	shown       int // characters of the line that is on the terminal
}

func newProgress(w io.Writer, quiet bool, name string, now time.Time) *progress {
	return &progress{w: w, live: terminal.Is(w), quiet: quiet, name: name, began: now, told: now, first: -1}
}

// at reports how many rows have been done, and how many bytes of total. total
// is 0 if it is unknown.
func (p *progress) at(now time.Time, rows, bytes, total int64) {
	if p.first < 0 {
		p.first, p.firstRows, p.began = bytes, rows, now
	}
	if p.due(now) {
		p.show(p.line(now, rows, bytes, total))
	}
}

// wrote reports how many bytes have been written. The total is unknown.
func (p *progress) wrote(now time.Time, bytes int64) {
	if p.due(now) {
		p.show(fmt.Sprintf("%s  %s  %s/s", p.name, size(bytes), size(int64(float64(bytes)/now.Sub(p.began).Seconds()))))
	}
}

// due reports whether it is time for the next report.
func (p *progress) due(now time.Time) bool {
	every := lineEvery
	if p.live {
		every = barEvery
	}
	if p.quiet || now.Sub(p.told) < every {
		return false
	}
	p.told = now
	return true
}

func (p *progress) show(line string) {
	if !p.live {
		terminal.Say(p.w, "%s\n", line)
		return
	}
	line = terminal.Printable(line)
	n := len([]rune(line))
	terminal.SayLive(p.w, line, max(0, p.shown-n))
	p.shown = n
}

// line returns the report: events.ndjson [=====>    ]  42 %  1234567 rows
// 98765/s  120 MB of 290 MB  1m10s left.
func (p *progress) line(now time.Time, rows, bytes, total int64) string {
	var b strings.Builder
	b.WriteString(p.name)
	if total > 0 {
		part := min(float64(bytes)/float64(total), 1)
		if filled := int(part * barWidth); p.live {
			fmt.Fprintf(&b, " [%s%s]", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled))
		}
		fmt.Fprintf(&b, " %3.0f %%", 100*part)
	}
	seconds := now.Sub(p.began).Seconds()
	fmt.Fprintf(&b, "  %d rows", rows)
	if seconds > 0 {
		fmt.Fprintf(&b, "  %.0f/s", float64(rows-p.firstRows)/seconds)
	}
	b.WriteString("  " + size(bytes))
	if total > 0 {
		b.WriteString(" of " + size(total))
		if rate := float64(bytes-p.first) / seconds; seconds > 0 && rate > 0 {
			left := time.Duration(float64(total-bytes) / rate * float64(time.Second))
			fmt.Fprintf(&b, "  %v left", left.Round(time.Second))
		}
	}
	return b.String()
}

// done clears the line on the terminal.
func (p *progress) done() {
	if p.shown > 0 {
		terminal.SayLive(p.w, "", p.shown)
		terminal.SayLive(p.w, "", 0)
		p.shown = 0
	}
}

// size formats a number of bytes for people.
func size(bytes int64) string {
	const kilo = 1000
	switch {
	case bytes < kilo:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < kilo*kilo:
		return fmt.Sprintf("%.1f kB", float64(bytes)/kilo)
	case bytes < kilo*kilo*kilo:
		return fmt.Sprintf("%.1f MB", float64(bytes)/kilo/kilo)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/kilo/kilo/kilo)
}
