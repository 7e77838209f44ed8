package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/auth"
	"trackway/internal/certificate"
	"trackway/internal/clientip"
	"trackway/internal/config"
	"trackway/internal/dashboard"
	"trackway/internal/door"
	"trackway/internal/fleet"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/traffic"
	"trackway/internal/live"
	"trackway/internal/store"
	"trackway/internal/upkeep"
)

// Setup is what a server is started with. All fields are required.
type Setup struct {
	Config  *config.Config
	Version string // the program's
	Log     *slog.Logger
	Level   *slog.LevelVar                 // which messages Log lets through
	Load    func() (*config.Config, error) // reads the configuration again, and checks it in full
	Hangup  <-chan os.Signal               // asks for a reload
	Ready   func(public, ops net.Addr)     // called once, when both listeners accept
}

// CheckLimits says what is wrong with a configuration's limits. internal/config, which is of the same layer as
// internal/limit, has it called.
func CheckLimits(cfg *config.Config) []config.Problem {
	_, err := limit.NewSet(cfg.Policies, cfg.Overrides)
	wrong, _ := errors.AsType[limit.Problems](err)
	found := make([]config.Problem, len(wrong))
	for i, w := range wrong {
		found[i] = config.Problem{Field: w.Field, Msg: w.Msg}
	}
	return found
}

// server is a running server: what it was made from, and the parts that a reload reaches.
type server struct {
	Setup

	address   net.Addr // of the public listener
	store     *store.Store
	ingest    *ingest.Ingest
	history   *history.Log
	limits    *limit.Limiter
	traffic   *traffic.Recorder
	fleet     *fleet.Fleet
	upkeep    *upkeep.Upkeep
	api       *api.Server
	live      *live.Hub
	dashboard *dashboard.Server
	door      *door.Door
	bounds    bounds

	certificate *certificate.Source // nil: without TLS

	stopping atomic.Bool

	mu     sync.Mutex  // guards Config and ending, and makes a reload one step
	ending *time.Timer // fires when the next override ends; nil: none does
}

// reload puts the configuration as it is now in force: keys, projects, proxies, limits, overrides, servers, redirects, the contact,
// bounds on connections, the certificate in its files, and the log's level. It changes all or nothing, loses no count, and disturbs no request. The error says why nothing was changed.
func (s *server) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reloadLocked()
	if err != nil {
		s.Log.Error("reload refused: the configuration stays as it was", "err", err)
		return err
	}
	keys := 0
	for i := range s.Config.Projects {
		keys += len(s.Config.Projects[i].Keys)
	}
	s.Log.Info("reloaded", "projects", len(s.Config.Projects), "keys", keys, "limits", len(s.Config.Policies), "overrides", len(s.Config.Overrides))
	return nil
}

func (s *server) reloadLocked() error {
	next, err := s.Load()
	if err != nil {
		return err
	}
	if err := config.CheckReload(s.Config, next); err != nil {
		return err
	}
	set, err := limit.NewSet(next.Policies, next.Overrides)
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	access, projects, err := newAccess(next, s.store)
	if err != nil {
		return err
	}
	if s.certificate != nil {
		if err := s.certificate.Refresh(); err != nil {
			return err
		}
	}
	if access.Guide, err = s.publish(next, set); err != nil {
		return err
	}
	s.door.Reload(s.bounds.public(next, s.Log))
	s.limits.Reload(set)
	s.traffic.Reload(recording(next))
	s.api.Reload(access)
	s.dashboard.Reload(factsOf(next, access.Keys))
	s.fleet.Reload(fleetOf(next, s.address))
	s.upkeep.Reload(projects)
	s.Level.Set(next.Log.SlogLevel())
	s.Config = next
	s.awaitEndLocked()
	return nil
}

// newAccess makes what lets requests in, and registers the projects. The guide is still missing.
func newAccess(cfg *config.Config, st *store.Store) (access api.Access, projects []trackway.Project, err error) {
	projects = slices.Clone(cfg.Projects)
	if err := st.Register(projects); err != nil {
		return access, nil, err
	}
	clients, err := clientip.New(clientip.Config{Trusted: cfg.TrustedProxies, Header: cfg.ClientIPHeader})
	if err != nil {
		return access, nil, err
	}
	return api.Access{Name: cfg.Server.Name, Keys: auth.New(projects), Clients: clients, RedirectHosts: cfg.RedirectHosts}, projects, nil
}
