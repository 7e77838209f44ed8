package app

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/app/member"
	"trackway/internal/audit"
	"trackway/internal/budget"
	"trackway/internal/catalogue"
	"trackway/internal/config"
	"trackway/internal/contract/book"
	"trackway/internal/dashboard"
	"trackway/internal/fleet"
	"trackway/internal/ingest"
	"trackway/internal/ingest/refusals"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/share"
	"trackway/internal/limit/traffic"
	"trackway/internal/listen"
	"trackway/internal/live"
	"trackway/internal/partition/afar"
	"trackway/internal/partition/spread"
	"trackway/internal/partition/stores"
	"trackway/internal/people/openid"
	"trackway/internal/suspect"
	"trackway/internal/trace"
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

	// Keys reads the configuration as it is written. Change changes the managed
	// file, calls use (if it is not nil), and returns the configuration that is
	// there afterwards. If use fails, the file stays as it was.
	Keys   func() (*config.Keys, error)
	Change func(change func(*config.Keys) error, use func() error) (*config.Config, error)

	Processors int // that the process may use; 0: as many as may run Go code
}

// server is a running server: what it was made from, and the parts that a
// reload changes.
type server struct {
	Setup

	budget    budget.Budget
	store     *stores.Set
	parts     []*part      // one for each partition
	away      []*afar.Part // those that other servers hold
	ingest    *ingest.Ingest
	history   *history.Log
	limits    *limit.Limiter
	traffic   *traffic.Recorder
	traces    *trace.Tracer // nil in commands that run without a server
	audit     *audit.Log
	fleet     *fleet.Fleet
	upkeep    upkeeps
	api       *api.Server
	live      *live.Hub
	catalogue *catalogue.Set
	suspects  *suspect.Labeler
	contracts *book.Book
	trials    *trials
	dashboard *dashboard.Server
	provider  *openid.Provider // nil: none

	destinations *spread.Set
	// The projects in force. They are read without a lock, because a reload
	// waits for destinations.
	sent atomic.Pointer[[]trackway.Project]
	// The projects of the configuration that are not among them yet; nil: all
	// are, as they should be.
	waiting atomic.Pointer[[]string]

	member    *member.Member   // nil: the server stands alone
	operate   http.Handler     // answers what operators ask about destinations; nil: the server stands alone
	others    *listen.Listener // for what operators ask of other members; nil: the server stands alone
	questions *listen.Listener // of clients, which other members pass on; nil: the server stands alone
	alarms    *alarms

	operated   atomic.Pointer[http.HandlerFunc] // answers what other members ask about destinations
	controlled atomic.Pointer[http.Handler]     // answers what operators ask of this server

	refusals refusals.Gathered
	sharing  *share.Group // limits that the cluster shares; nil: the server stands alone

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
