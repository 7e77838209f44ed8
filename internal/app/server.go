package app

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/budget"
	"trackway/internal/catalogue"
	"trackway/internal/config"
	"trackway/internal/dashboard"
	"trackway/internal/destination"
	"trackway/internal/fleet"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/share"
	"trackway/internal/limit/traffic"
	"trackway/internal/listen"
	"trackway/internal/live"
	"trackway/internal/store"
	"trackway/internal/trace"
	"trackway/internal/upkeep"
)

// Setup is what a server needs to start. All fields are required.
type Setup struct {
	Config  *config.Config
	Version string // of the program
	Log     *slog.Logger
	Level   *slog.LevelVar                 // the level of Log
	Load    func() (*config.Config, error) // reads and fully checks the configuration again
	Hangup  <-chan os.Signal               // each signal asks for a reload
	Ready   func(public, ops net.Addr)     // called once, when both listeners accept connections

	// Change changes the managed file, and returns the configuration that is
	// there afterwards.
	Change func(change func(*config.Keys) error) (*config.Config, error)

	Processors int // that the process may use; 0: as many as may run Go code
}

// server is a running server: what it was made from, and the parts that a
// reload changes.
type server struct {
	Setup

	budget    budget.Budget
	store     *store.Store
	ingest    *ingest.Ingest
	history   *history.Log
	limits    *limit.Limiter
	traffic   *traffic.Recorder
	traces    *trace.Tracer // nil in commands that run without a server
	fleet     *fleet.Fleet
	upkeep    *upkeep.Upkeep
	api       *api.Server
	live      *live.Hub
	catalogue *catalogue.Catalogue
	dashboard *dashboard.Server

	destinations *destination.Manager
	// The projects that destinations know. They are read without a lock,
	// because a reload waits for destinations.
	sent atomic.Pointer[[]trackway.Project]

	member    *member          // nil: the server stands alone
	others    *listen.Listener // for what operators ask of other members; nil: the server stands alone
	questions *listen.Listener // of clients, which other members pass on; nil: the server stands alone
	alarms    *alarms
	refusals  refusals
	sharing   *share.Group // limits that the cluster shares; nil: the server stands alone

	public *listen.Listener

	plain *listen.Listener       // sends plain HTTP on to HTTPS; nil without tls.redirect
	home  atomic.Pointer[string] // the URL of the configuration, if it is https; else empty

	certificate certificates // nil without TLS

	stopping atomic.Bool

	users sync.Mutex // held while the users change, and during a whole reload, before mu

	mu     sync.Mutex  // guards Config and ending; held during a whole reload
	ending *time.Timer // fires when the next override ends; nil if none will end
}

// newSet compiles the limits of a configuration. They must satisfy the
// published minimums.
func newSet(cfg *config.Config) (*limit.Set, error) {
	return limit.NewSet(cfg.Policies, cfg.Overrides, api.Floors()...)
}

// CheckLimits returns the problems with a configuration's limits. The caller
// passes it to internal/config, which cannot import internal/limit because both
// are in the same layer.
func CheckLimits(cfg *config.Config) []config.Problem {
	_, err := newSet(cfg)
	wrong, _ := errors.AsType[limit.Problems](err)
	found := make([]config.Problem, len(wrong))
	for i, w := range wrong {
		found[i] = config.Problem{Field: w.Field, Msg: w.Msg}
	}
	return found
}
