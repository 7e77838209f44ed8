package app

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/api/position"
	"trackway/internal/app/member"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/control/members"
	"trackway/internal/ingest"
	"trackway/internal/listen"
	"trackway/internal/ops"
	"trackway/internal/query"
	"trackway/internal/store"
	"trackway/internal/upkeep"
)

// errWaiting is the answer to a reload before the server has begun.
var errWaiting = errors.New("the server waits for its cluster")

// awaitCluster waits until this server is a member of its cluster and has what
// the others have. Meanwhile, operators can reach it: it may wait for them.
func (s *server) awaitCluster(ctx context.Context, reg *prometheus.Registry) error {
	private, err := listen.TCP(ctx, "ops_listen", s.Config.OpsListen, s.operatorBounds(), nil, s.Log)
	if err != nil {
		return err
	}
	private.Handle(ops.Handler(ops.Config{
		Gatherer: reg, Reload: func() error { return errWaiting }, Ready: s.member.Ready, Listen: s.Config.OpsListen,
		Cluster: s.member.Status,
	}))
	ln, err := control.Listen(ctx, s.Config.DataDir)
	if err != nil {
		return errors.Join(err, private.Close())
	}
	socket := listen.Patient(ctx, ln, s.operatorBounds(), s.Log)
	socket.Handle(control.Waiting(s.member, s.audit, s.Log))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(private.Serve)
	g.Go(socket.Serve)
	g.Go(func() error {
		err := s.member.CatchUp(ctx)
		return errors.Join(err, socket.Drain(), private.Close()) //nolint:contextcheck // draining has its own timeout
	})
	return g.Wait()
}

// cluster returns what operators can do with the cluster, or nil if the server
// stands alone.
func (s *server) cluster() members.Cluster {
	if s.member == nil {
		return nil
	}
	return operated{s.member, s}
}

// operated is the member as operators see it.
type operated struct {
	*member.Member

	server *server
}

// Status implements [members.Cluster].
func (o operated) Status() members.Status { return o.server.status() }

// clusterStatus returns what tells of the cluster, or nil if the server stands
// alone.
func (s *server) clusterStatus() func() members.Status {
	if s.member == nil {
		return nil
	}
	return s.status
}

// shared returns the logs that this server shares with others, or nil if it
// stands alone.
func (s *server) shared() position.Logs {
	if s.member == nil {
		return nil
	}
	return s.member.Of
}

// CheckCluster returns the problems with the brokers of a log.
func CheckCluster(cfg *config.Config) []config.Problem {
	if err := member.CheckBrokers(&cfg.Cluster); err != nil {
		return []config.Problem{{Field: "cluster.kafka", Msg: err.Error()}}
	}
	return nil
}

// taking returns where ingest stores commands.
func (s *server) taking() ingest.Store {
	if s.member == nil {
		return s.store
	}
	return s.refusals.Over(s.store)
}

// kept returns the store of a partition as upkeep sees it.
func (s *server) kept(p *part) upkeep.Store {
	if s.member == nil {
		return p.store
	}
	return led{p.store, s.member.Part(p.number)}
}

// led is the store of a member, from which only the leader removes expired
// events: it removes them everywhere.
type led struct {
	*store.Store

	part *member.Part
}

// Expire implements [upkeep.Store].
func (l led) Expire(
	ctx context.Context, from, to uint64, before func(project uint32, typ string) trackway.Micros,
) (query.Expired, error) {
	if !l.part.Leads() {
		return query.Expired{End: true}, nil
	}
	return l.Store.Expire(ctx, from, to, before)
}

// handler returns the handler of the public listener. At a member, a reader
// sees what the same server has acknowledged before: the leader may have
// applied it a moment earlier. Calls that only write do not wait.
func (s *server) handler(plain []string) http.Handler {
	if s.member == nil {
		return s.api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range plain {
			if strings.HasPrefix(r.URL.Path, prefix) {
				s.api.ServeHTTP(w, r)
				return
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), member.ReadTime)
		s.member.AwaitOwn(ctx)
		cancel()
		s.api.ServeHTTP(w, r)
	})
}
