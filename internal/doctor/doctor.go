// Package doctor examines an installation: what the machine gives, what the configuration says, and whether the one fits the
// other. Its one idea is that a finding that is not fine says what to do. It changes nothing, apart from a file in the data
// directory that it writes to time the disk and removes, and a handful of calls to the server.
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
	Warn Level = "warn" // it works, but not as it should, or not for long
	Fail Level = "fail" // it does not work, or it is not safe
)

// Finding is what one check came to.
type Finding struct {
	Check  string `json:"check"` // its name
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; empty if it is fine
}

// Env is what is examined. All fields but Warnings are required.
type Env struct {
	Config   *config.Config
	Warnings []config.Problem // of the configuration
	Floors   []limit.Floor    // what is published: the first is the tracking API's
	Local    *http.Client     // reaches the server from this host, whatever proxies are configured
	LocalURL string           // without a slash at its end
	OpsURL   string
	Web      *http.Client // reaches servers as others do
	Host     Host
}

// patience is for one answer.
const patience = 5 * time.Second

// Examine makes all checks, in the order in which a reader wants to know.
func Examine(ctx context.Context, e Env) []Finding {
	x := &examination{Env: e}
	x.configuration()
	x.disk()
	x.space()
	x.modes()
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

// examination is a list of findings in the making, and what one check has learned for another.
type examination struct {
	Env

	findings []Finding
	up       bool     // the server runs
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

// configuration passes on what is unwise in the file.
func (x *examination) configuration() {
	for _, w := range x.Warnings {
		x.warn("config", "change that line, then: trackway check", "%s", w)
	}
	if len(x.Warnings) == 0 {
		x.ok("config", "%d projects, %d limits, %d overrides", len(x.Config.Projects), len(x.Config.Policies), len(x.Config.Overrides))
	}
}
