package member

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/control/members"
	"trackway/internal/log/kafka"
)

// Status implements [members.Cluster].
func (m *Member) Status() members.Status {
	s := m.parts[0].status()
	if len(m.parts) == 1 {
		return s
	}
	all := []members.Status{s}
	for _, p := range m.parts[1:] {
		all = append(all, p.status())
	}
	ready := ""
	if err := m.Ready(); err != nil {
		ready = err.Error()
	}
	return members.Together(all, ready)
}

// status returns what this server knows of a partition.
func (p *Part) status() members.Status {
	log, c := p.raft.Load(), &p.o.Cluster
	s := log.Status()
	told := members.Status{
		Log: c.Log, Name: c.Name, ID: s.ID, Address: c.Advertise, Leader: s.Leader, Leading: s.Leading, Term: s.Term,
		Last: s.Last, Commit: s.Commit, Applied: s.Applied, ContactMS: s.LastContact.Milliseconds(), Members: []members.Member{},
		Starting: !p.caughtUp.Load(),
	}
	if k, is := log.(*kafka.Log); is {
		told.Durability = k.Durability()
	}
	if err := p.ready(); err != nil {
		told.Ready = err.Error()
	}
	for _, other := range s.Members {
		shown := members.Member{ID: other.ID, Address: other.Address, Voter: other.Voter, Unfit: other.Unfit, Differs: other.Differs}
		if other.Heard {
			offset := other.Offset.Milliseconds()
			shown.OffsetMS = &offset
		}
		told.Members = append(told.Members, shown)
	}
	p.watch.Complete(&told, time.Now())
	return told
}

// watching asks the other members how far they are, until ctx ends.
func (p *Part) watching(ctx context.Context) error {
	return p.watch.Run(ctx, p.status, func(ctx context.Context, other *members.Member) (uint64, error) {
		return p.raft.Load().Progress(ctx, other.ID, other.Address)
	})
}

// collector reads the figures of a partition when it is asked for them.
type collector struct{ p *Part }

var descs = map[string]*prometheus.Desc{
	"leader":         desc("leader", "1 at the server that leads the cluster, else 0."),
	"ready":          desc("ready", "1 if this server is a member, knows a leader and has caught up, else 0."),
	"members":        desc("members", "Servers of the cluster, as this one knows."),
	"term":           desc("term", "How many elections there were, at least: it rises with each."),
	"log_index":      desc("log_index", "The last entry in this server's log."),
	"commit_index":   desc("commit_index", "The last entry that is known to be on most servers."),
	"applied_index":  desc("applied_index", "The last entry in this server's data."),
	"leader_contact": desc("leader_contact_seconds", "Time since the leader was heard; 0 at the leader."),

	"clock_wrong":  desc("clock_wrong", "1 while this server takes no commands because its clock is wrong, else 0."),
	"disk_low":     desc("disk_low", "1 while this server takes no commands because its disk has less room than the reserve, else 0."),
	"digest_index": desc("digest_index", "The last entry at which most servers were found to have the same data."),
	"differing":    desc("differing_members", "Members whose data differs from that of others."),
	"clock_offset": desc("clock_offset_seconds", "The clock of another member less that of this server.", "member"),
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("trackway_cluster_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	log := c.p.raft.Load()
	s, compared := log.Status(), log.Compared()
	number := map[bool]float64{true: 1}
	for name, v := range map[string]float64{
		"leader": number[s.Leading], "ready": number[c.p.ready() == nil], "members": float64(len(s.Members)), "term": float64(s.Term),
		"log_index": float64(s.Last), "commit_index": float64(s.Commit), "applied_index": float64(s.Applied), "leader_contact": s.LastContact.Seconds(),
		"clock_wrong": number[log.Skewed()], "disk_low": number[log.Full()], "digest_index": float64(compared.Last), "differing": float64(compared.Differing),
	} {
		ch <- prometheus.MustNewConstMetric(descs[name], prometheus.GaugeValue, v)
	}
	for _, m := range s.Members {
		if m.Heard && m.ID != s.ID {
			ch <- prometheus.MustNewConstMetric(descs["clock_offset"], prometheus.GaugeValue, m.Offset.Seconds(), m.Address)
		}
	}
}
