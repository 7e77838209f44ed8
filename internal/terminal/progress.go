package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// How often progress is reported: on a terminal, in one line that changes;
// otherwise, in a new line each time.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 10 * time.Second
	barWidth  = 20
)

// Progress reports how far the work on a file has come. Use [NewProgress]. It
// is not safe for concurrent use.
type Progress struct {
	w     io.Writer
	live  bool // w is a terminal
	quiet bool
	name  string

	began, told time.Time
	first       int64 // bytes at the beginning: what was done before must not affect the rate
	firstRows   int64
	shown       int // characters of the line that is on the terminal
}

// NewProgress returns the progress of the work that begins now, shown on w
// under a name. A quiet one shows nothing.
func NewProgress(w io.Writer, quiet bool, name string, now time.Time) *Progress {
	return &Progress{w: w, live: Is(w), quiet: quiet, name: name, began: now, told: now, first: -1}
}

// At reports how many rows have been done, and how many bytes of total. total
// is 0 if it is unknown.
func (p *Progress) At(now time.Time, rows, bytes, total int64) {
	if p.first < 0 {
		p.first, p.firstRows, p.began = bytes, rows, now
	}
	if p.Due(now) {
		p.Show(p.line(now, rows, bytes, total))
	}
}

// Wrote reports how many bytes have been written. The total is unknown.
func (p *Progress) Wrote(now time.Time, bytes int64) {
	if p.Due(now) {
		p.Show(fmt.Sprintf("%s  %s  %s/s", p.name, Size(bytes), Size(int64(float64(bytes)/now.Sub(p.began).Seconds()))))
	}
}

// Due reports whether it is time for the next report.
func (p *Progress) Due(now time.Time) bool {
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

// Show shows a line in place of the last one. A caller asks Due before.
func (p *Progress) Show(line string) {
	if !p.live {
		Say(p.w, "%s\n", line)
		return
	}
	line = Printable(line)
	n := len([]rune(line))
	SayLive(p.w, line, max(0, p.shown-n))
	p.shown = n
}

// line returns the report: events.ndjson [=====>    ]  42 %  1234567 rows
// 98765/s  120 MB of 290 MB  1m10s left.
func (p *Progress) line(now time.Time, rows, bytes, total int64) string {
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
	b.WriteString("  " + Size(bytes))
	if total > 0 {
		b.WriteString(" of " + Size(total))
		if rate := float64(bytes-p.first) / seconds; seconds > 0 && rate > 0 {
			left := time.Duration(float64(total-bytes) / rate * float64(time.Second))
			fmt.Fprintf(&b, "  %v left", left.Round(time.Second))
		}
	}
	return b.String()
}

// Done clears the line on the terminal.
func (p *Progress) Done() {
	if p.shown > 0 {
		SayLive(p.w, "", p.shown)
		SayLive(p.w, "", 0)
		p.shown = 0
	}
}

// Size formats a number of bytes for people.
func Size(bytes int64) string {
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
