package app

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trackway"
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
	private, err := listen.TCP(ctx, s.Config.OpsListen, s.operatorBounds(), nil, s.Log)
	if err != nil {
		return err
	}
	private.Handle(ops.Handler(ops.Config{
		Gatherer: reg, Reload: func() error { return errWaiting }, Ready: s.member.ready, Listen: s.Config.OpsListen,
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
		err := s.member.catchUp(ctx)
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
	return s.member
}

// clusterStatus returns what tells of the cluster, or nil if the server stands
// alone.
func (s *server) clusterStatus() func() members.Status {
	if s.member == nil {
		return nil
	}
	return s.member.Status
}

// taking returns where ingest stores commands.
func (s *server) taking() ingest.Store {
	if s.member == nil {
		return s.store
	}
	return s.refusals.Over(s.parts[0].store)
}

// kept returns a store as upkeep sees it.
func (s *server) kept(of *store.Store) upkeep.Store {
	if s.member == nil {
		return of
	}
	return led{of, s.member}
}

// led is the store of a member, from which only the leader removes expired
// events: it removes them everywhere.
type led struct {
	*store.Store

	member *member
}

// Expire implements [upkeep.Store].
func (l led) Expire(
	ctx context.Context, from, to uint64, before func(project uint32, typ string) trackway.Micros,
) (query.Expired, error) {
	if !l.member.leading() || l.member.raft.Load().Skewed() {
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
		ctx, cancel := context.WithTimeout(r.Context(), readTime)
		s.member.raft.Load().Reach(ctx, 0)
		cancel()
		s.api.ServeHTTP(w, r)
	})
}

// clusterCollector reads the figures of a member when it is asked for them.
type clusterCollector struct{ m *member }

var clusterDescs = map[string]*prometheus.Desc{
	"leader":         clusterDesc("leader", "1 at the server that leads the cluster, else 0."),
	"ready":          clusterDesc("ready", "1 if this server is a member, knows a leader and has caught up, else 0."),
	"members":        clusterDesc("members", "Servers of the cluster, as this one knows."),
	"term":           clusterDesc("term", "How many elections there were, at least: it rises with each."),
	"log_index":      clusterDesc("log_index", "The last entry in this server's log."),
	"commit_index":   clusterDesc("commit_index", "The last entry that is known to be on most servers."),
	"applied_index":  clusterDesc("applied_index", "The last entry in this server's data."),
	"leader_contact": clusterDesc("leader_contact_seconds", "Time since the leader was heard; 0 at the leader."),

	"clock_wrong":  clusterDesc("clock_wrong", "1 while this server takes no commands because its clock is wrong, else 0."),
	"disk_low":     clusterDesc("disk_low", "1 while this server takes no commands because its disk has less room than the reserve, else 0."),
	"digest_index": clusterDesc("digest_index", "The last entry at which most servers were found to have the same data."),
	"differing":    clusterDesc("differing_members", "Members whose data differs from that of others."),
	"clock_offset": clusterDesc("clock_offset_seconds", "The clock of another member less that of this server.", "member"),
}

func clusterDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("trackway_cluster_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (c clusterCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range clusterDescs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c clusterCollector) Collect(ch chan<- prometheus.Metric) {
	log := c.m.raft.Load()
	s, compared := log.Status(), log.Compared()
	number := map[bool]float64{true: 1}
	for name, v := range map[string]float64{
		"leader": number[s.Leading], "ready": number[c.m.ready() == nil], "members": float64(len(s.Members)), "term": float64(s.Term),
		"log_index": float64(s.Last), "commit_index": float64(s.Commit), "applied_index": float64(s.Applied), "leader_contact": s.LastContact.Seconds(),
		"clock_wrong": number[log.Skewed()], "disk_low": number[log.Full()], "digest_index": float64(compared.Last), "differing": float64(compared.Differing),
	} {
		ch <- prometheus.MustNewConstMetric(clusterDescs[name], prometheus.GaugeValue, v)
	}
	for _, m := range s.Members {
		if m.Heard && m.ID != s.ID {
			ch <- prometheus.MustNewConstMetric(clusterDescs["clock_offset"], prometheus.GaugeValue, m.Offset.Seconds(), m.Address)
		}
	}
}
