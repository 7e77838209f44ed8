package app

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync/atomic"

	"trackway/internal/config"
	"trackway/internal/config/membership"
	"trackway/internal/datadir"
	"trackway/internal/destination/kafka/brokers"
	files "trackway/internal/destination/kept"
	"trackway/internal/entry"
	"trackway/internal/log/kafka"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
)

// sharedLog is what a member needs of the log that it shares with others:
// [raft.Log] or [kafka.Log], whose comments say what the methods do.
type sharedLog interface { //nolint:interfacebloat // all that a server needs
	Append(ctx context.Context, e entry.Entry) error
	Clean(ctx context.Context) error
	Close() error

	CatchUp(ctx context.Context) error
	Look(ctx context.Context) error
	Unfit() error
	Full() bool
	Skewed() bool
	Behind() bool

	Position() uint64
	HasOwn() bool
	Reach(ctx context.Context, index uint64) bool
	Latest(ctx context.Context) (uint64, error)

	ID() string
	Self() peer.ID
	Leading() (term uint64, leading bool)
	Leader() (t peer.Target, known bool)
	Status() raft.Status
	Compared() raft.Comparison
	Progress(ctx context.Context, id, address string) (uint64, error)
	Abouts() []json.RawMessage

	Bootstrap() error
	Expel(ctx context.Context, id string) error
}

// opened is the log of a member, once it is open.
type opened struct{ log atomic.Pointer[sharedLog] }

func (o *opened) set(log sharedLog) { o.log.Store(&log) }

// Load returns the log, or nil if it is not open yet.
func (o *opened) Load() sharedLog {
	if log := o.log.Load(); log != nil {
		return *log
	}
	return nil
}

// openLog opens the log of a machine, in the directory of a member.
func (m *member) openLog(of machine, dir string) (sharedLog, error) {
	if m.cfg.Log != membership.OverKafka {
		return raft.Open(of, raft.Options{
			Dir: filepath.Join(dir, datadir.Log), Network: m.network, Name: m.cfg.Name, Heartbeat: m.cfg.Heartbeat, Log: m.log, Fatal: m.fatal,
			Version: m.version, About: m.tells, MaxSkew: m.cfg.MaxClockSkew, Reserve: uint64(m.cfg.Reserve),
		})
	}
	at, err := brokersOf(&m.cfg.Kafka)
	if err != nil {
		return nil, err
	}
	return kafka.Open(of, kafka.Options{
		Dir: filepath.Join(dir, datadir.Kafka), Network: m.network, Brokers: at, Topic: m.cfg.Kafka.Topic, Name: m.cfg.Name,
		Heartbeat: m.cfg.Heartbeat, Log: m.log, Fatal: m.fatal, Version: m.version, About: m.tells, MaxSkew: m.cfg.MaxClockSkew, Reserve: uint64(m.cfg.Reserve),
		Joined: func() error { return files.Forsake(m.destinations) },
	})
}

func brokersOf(k *membership.Kafka) (brokers.Options, error) {
	o, err := brokers.Parse(k.URL, k.User, k.Password)
	if err == nil && o.Partitions > 0 {
		err = errors.New("partitions is not a setting of a log")
	}
	return o, err
}

// CheckCluster returns the problems with the brokers of a log.
func CheckCluster(cfg *config.Config) []config.Problem {
	if cfg.Cluster.Log != membership.OverKafka || cfg.Cluster.Kafka.URL == "" {
		return nil
	}
	if _, err := brokersOf(&cfg.Cluster.Kafka); err != nil {
		return []config.Problem{{Field: "cluster.kafka", Msg: err.Error()}}
	}
	return nil
}

// errOverKafka is the answer to what needs servers with votes.
var errOverKafka = errors.New("this is for servers with cluster.log: raft. With kafka, a server takes part in the log by itself, the brokers store it, " +
	"and if the server that leads stops, another one leads at once")

// overRaft returns the log, if it is one of Raft.
func (m *member) overRaft() (*raft.Log, error) {
	log, is := m.raft.Load().(*raft.Log)
	if !is {
		return nil, errOverKafka
	}
	return log, nil
}
