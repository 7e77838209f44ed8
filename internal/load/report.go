package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report holds the figures of a run.
type Report struct {
	Loop        string            `json:"loop"`         // open or closed
	WantedRate  float64           `json:"wanted_rate"`  // requests a second; 0 in the closed loop
	Connections int               `json:"connections"`  //
	Seconds     float64           `json:"seconds"`      // from the first request to the last answer
	Requests    uint64            `json:"requests"`     //
	Acked       uint64            `json:"acknowledged"` // requests
	Limited     uint64            `json:"limited"`      // requests refused by a rate limit
	Failed      uint64            `json:"failed"`       // requests refused otherwise
	Unanswered  uint64            `json:"unanswered"`   // requests without an answer, or with a 5xx
	Unsent      uint64            `json:"unsent"`       // due in the open loop, but no connection was free
	Events      uint64            `json:"events"`       // acknowledged
	Rate        float64           `json:"rate"`         // acknowledged requests a second
	EventRate   float64           `json:"event_rate"`   // acknowledged events a second
	Latency     Latency           `json:"latency_ms"`   // of acknowledged requests
	Reasons     map[string]uint64 `json:"reasons"`      // of failed and unanswered requests
	Verified    *Verification     `json:"verified"`     // nil: not verified
}

// Latency holds quantiles, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Report returns the figures. Call it after Load has returned.
func (r *Run) Report() *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := r.length.Seconds()
	at := func(quantile float64) float64 { return milliseconds(r.latency.ValueAtQuantile(quantile)) }
	report := &Report{
		Loop: "closed", WantedRate: r.Rate, Connections: r.Connections, Seconds: seconds,
		Acked: r.counts[acknowledged], Limited: r.counts[limited], Failed: r.counts[failed], Unanswered: r.counts[unknown] + r.counts[unreached], Unsent: r.unsent,
		Events: r.acked, Rate: float64(r.counts[acknowledged]) / seconds, EventRate: float64(r.acked) / seconds,
		Latency: Latency{at(50), at(90), at(99), at(99.9), milliseconds(r.latency.Max())}, Reasons: maps.Clone(r.reasons),
	}
	report.Requests = report.Acked + report.Limited + report.Failed + report.Unanswered
	if r.Rate > 0 {
		report.Loop = "open"
	}
	return report
}

func milliseconds(micros int64) float64 {
	return float64(time.Duration(micros)*time.Microsecond) / float64(time.Millisecond)
}

// String formats the report for a person.
func (r *Report) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	loop := fmt.Sprintf("closed loop, %d connections", r.Connections)
	if r.Loop == "open" {
		loop = fmt.Sprintf("open loop, %g requests/s wanted, %d connections", r.WantedRate, r.Connections)
	}
	line("%s, %.1f s", loop, r.Seconds)
	line("acknowledged  %d requests, %.0f/s; %d events, %.0f/s", r.Acked, r.Rate, r.Events, r.EventRate)
	line("latency       p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms",
		r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	line("refused       %d by a rate limit, %d otherwise; %d without an answer", r.Limited, r.Failed, r.Unanswered)
	if r.Unsent > 0 {
		line("behind        %d requests were due and never sent: the server or this machine is too slow, or --connections too few", r.Unsent)
	}
	for _, why := range slices.Sorted(maps.Keys(r.Reasons)) {
		line("              %d × %s", r.Reasons[why], why)
	}
	switch v := r.Verified; {
	case v == nil:
		line("verified      no")
	case v.Sound():
		line("verified      all %d acknowledged events are stored, each once; of those without an answer, %d", v.Acknowledged, v.Unanswered)
	default:
		line("verified      BROKEN PROMISE: of %d acknowledged events %d are missing; %d are stored more than once, %d were never sent",
			v.Acknowledged, v.Missing, v.Repeated, v.Foreign)
	}
	return b.String()
}
