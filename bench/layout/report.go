package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// writeTable prints the results side by side, a row for each figure.
func writeTable(out io.Writer, results []*result) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value func(*result) string) {
		cells := []string{name}
		for _, r := range results {
			cells = append(cells, value(r))
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t")+"\t")
	}
	row("", func(r *result) string { return r.Variant })
	row("million events", func(r *result) string { return number(float64(r.Events) / 1e6) })
	for part := range parts {
		row(fmt.Sprintf("thousand events/s, part %d", part+1), func(r *result) string { return number(r.rate(part) / 1e3) })
	}
	row("last whole part / first", func(r *result) string { return number(r.rate(r.last()) / r.rate(0)) })
	for part := range parts {
		row(fmt.Sprintf("CPU µs/event, part %d", part+1), func(r *result) string { return number(r.cpu(part)) })
	}
	row("first / last whole part", func(r *result) string { return number(r.cpu(0) / r.cpu(r.last())) })
	row("thousand events/s, all", func(r *result) string { return number(float64(r.Events) / r.total().Seconds / 1e3) })
	row("the same, compactions finished", func(r *result) string {
		return number(float64(r.Events) / (r.total().Seconds + r.Settled.Seconds) / 1e3)
	})
	row("CPU µs/event, compactions finished", func(r *result) string {
		return number((r.total().CPUSeconds + r.Settled.CPUSeconds) / float64(r.Events) * 1e6)
	})
	row("of it making the event", func(r *result) string { return number(r.Generator / 1e3) })
	row("longest wait of one event, ms", func(r *result) string { return number(r.total().Longest * 1e3) })
	row("stalls (seconds)", func(r *result) string { return fmt.Sprintf("%d (%s)", r.total().Stalls, number(r.total().Stalled)) })
	row("copies found", func(r *result) string { return fmt.Sprint(r.total().Duplicates) })
	diskRows(row)
	readRows(row)
	row("million customers", func(r *result) string { return number(float64(r.Settled.Customers) / 1e6) })
	row("peak RSS of the writer, MB", func(r *result) string { return number(float64(r.Settled.PeakRSS) / 1e6) })
	_ = w.Flush()
	for _, r := range results {
		_, _ = fmt.Fprintf(out, "\n%s: bytes/event by table, level and compression; settled → compacted\n", r.Variant)
		names := map[string]bool{}
		for name := range maps.Keys(r.Settled.Levels) {
			names[name] = true
		}
		for name := range maps.Keys(r.Compacted.Levels) {
			names[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			_, _ = fmt.Fprintf(out, "  %-22s %8s → %s\n", name,
				number(r.Settled.per(r.Settled.Levels[name])), number(r.Compacted.per(r.Compacted.Levels[name])))
		}
	}
}

func diskRows(row func(string, func(*result) string)) {
	row("disk bytes/event, settled", func(r *result) string { return number(r.Settled.per(r.Settled.Bytes)) })
	row("disk bytes/event, compacted", func(r *result) string { return number(r.Compacted.per(r.Compacted.Bytes)) })
	for _, table := range []string{"l", "t", "e", "i"} {
		row("  of it "+table, func(r *result) string { return number(r.Compacted.per(r.Compacted.Tables[table])) })
	}
	row("files, settled / compacted", func(r *result) string { return fmt.Sprintf("%d / %d", r.Settled.Files, r.Compacted.Files) })
	row("written to WAL, bytes/event", func(r *result) string { return number(r.Settled.per(r.Settled.WAL)) })
	row("flushed", func(r *result) string { return number(r.Settled.per(r.Settled.Flushed)) })
	row("compacted", func(r *result) string { return number(r.Settled.per(r.Settled.Compacted)) })
	row("moved (not written)", func(r *result) string { return number(r.Settled.per(r.Settled.Moved)) })
	row("write amplification, without / with WAL", func(r *result) string {
		tables, wal := float64(r.Settled.Flushed+r.Settled.Compacted), float64(r.Settled.WAL)
		return fmt.Sprintf("%.2f / %.2f", tables/wal, (tables+wal)/wal)
	})
	row("seconds to settle / to compact", func(r *result) string {
		return number(r.Settled.Seconds) + " / " + number(r.Compacted.Seconds)
	})
}

func readRows(row func(string, func(*result) string)) {
	for _, mode := range []string{warm, pages, cold} {
		row("timeline of 100, "+mode+", ms: p50 / p99", func(r *result) string {
			x := r.readsOf(mode)
			return fmt.Sprintf("%.3f / %.3f", x.P50/1e3, x.P99/1e3)
		})
	}
	row("scan of the log, thousand events/s: middle / end", func(r *result) string {
		x := r.readsOf(scans)
		return number(x.ScanMiddle/1e3) + " / " + number(x.ScanTail/1e3)
	})
}

func (r *result) rate(part int) float64 {
	return float64(r.Parts[part].Events) / max(r.Parts[part].Seconds, 1e-9)
}

// cpu is what an event of a part cost, in microseconds. Other processes on the machine hardly change it.
func (r *result) cpu(part int) float64 {
	return r.Parts[part].CPUSeconds / float64(max(r.Parts[part].Events, 1)) * 1e6
}

// last is the last part that was not cut short by the budget.
func (r *result) last() int {
	last := 0
	for part := range parts {
		if r.Parts[part].Events == r.Parts[0].Events {
			last = part
		}
	}
	return last
}

func (r *result) total() (t filled) {
	for _, f := range r.Parts {
		t.add(f)
	}
	return t
}

func (r *result) readsOf(mode string) reads {
	for _, x := range r.Reads {
		if x.Mode == mode {
			return x
		}
	}
	return reads{}
}

func (s *sizes) per(bytes uint64) float64 { return float64(bytes) / float64(s.Events) }

func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
