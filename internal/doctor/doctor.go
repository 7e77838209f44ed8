// Package doctor examines an installation: the machine, the configuration, and
// whether the two fit together. Every finding that is not fine comes with
// advice. The package changes nothing, except that it writes and removes a file
// in the data directory to time the disk, and makes a few calls to the server.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"trackway/internal/config"
	"trackway/internal/limit"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // works, but not as it should, or not for long
	Fail Level = "fail" // does not work, or is not safe
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"` // name of the check
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; empty if all is fine
}

// Env is what to examine. All fields except Warnings, Partly and Destinations
// are required.
type Env struct {
	Config   *config.Config
	Warnings []config.Problem // of the configuration
	Floors   []limit.Floor    // the published minimums; the tracking API's is the first
	Local    *http.Client     // reaches the server from this host, without any proxy
	LocalURL string           // without a trailing slash
	OpsURL   string
	Web      *http.Client // reaches servers as other clients do
	Host     Host
	Partly   bool // other texts stand in for secrets in Config that only the server can read

	Destinations *Destinations // nil: the configuration has none
}

// patience limits the wait for one answer.
const patience = 5 * time.Second

// Examine runs all checks, in the order that is most useful to a reader.
func Examine(ctx context.Context, e Env) []Finding {
	x := &examination{Env: e}
	x.configuration()
	x.disk()
	x.space()
	x.modes()
	x.partitions()
	x.history()
	x.openFiles()
	x.certificate()
	x.limits()
	x.proxies()
	x.listener(ctx)
	x.forwarding(ctx)
	x.ops(ctx)
	x.ownURL(ctx)
	x.servers(ctx)
	x.destinations(ctx)
	x.users()
	x.provider(ctx)
	x.clock()
	return x.findings
}

// Worst returns the worst level among findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

// examination is a list of findings in the making, with what one check learns
// for another.
type examination struct {
	Env

	findings []Finding
	up       bool     // the server is running
	skews    []offset // of other clocks
}

func (x *examination) ok(check, format string, args ...any) {
	x.findings = append(x.findings, Finding{check, OK, fmt.Sprintf(format, args...), ""})
}

func (x *examination) warn(check, advice, format string, args ...any) {
	x.findings = append(x.findings, Finding{check, Warn, fmt.Sprintf(format, args...), advice})
}

func (x *examination) fail(check, advice, format string, args ...any) {
	x.findings = append(x.findings, Finding{check, Fail, fmt.Sprintf(format, args...), advice})
}

// configuration reports the configuration's warnings.
func (x *examination) configuration() {
	for _, w := range x.Warnings {
		x.warn("config", "change that line, then: trackway check", "%s", w)
	}
	if len(x.Warnings) == 0 {
		x.ok("config", "projects: %d, limits: %d, overrides: %d, destinations: %d", len(x.Config.Projects), len(x.Config.Policies), len(x.Config.Overrides), len(x.Config.Destinations))
	}
}
