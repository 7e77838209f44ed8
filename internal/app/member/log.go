package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"trackway/internal/config/membership"
	"trackway/internal/datadir"
	"trackway/internal/destination/kafka/brokers"
	files "trackway/internal/destination/kept"
	"trackway/internal/entry"
	"trackway/internal/log/kafka"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
	"trackway/internal/store"
	"trackway/internal/store/engine"
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

// opened is the log of a partition, once it is open.
type opened struct{ log atomic.Pointer[sharedLog] }

func (o *opened) set(log sharedLog) { o.log.Store(&log) }

// Load returns the log, or nil if it is not open yet.
func (o *opened) Load() sharedLog {
	if log := o.log.Load(); log != nil {
		return *log
	}
	return nil
}

// openLog opens the log of a machine, in the directory of a partition.
func (p *Part) openLog(of machine, dir string) (sharedLog, error) {
	c := &p.o.Cluster
	if c.Log != membership.OverKafka {
		return raft.Open(of, raft.Options{
			Dir: filepath.Join(dir, datadir.Log), Network: p.network, Name: p.name(), Partition: byte(p.number), Heartbeat: c.Heartbeat, Log: p.logger(), Fatal: p.fatal,
			Version: p.o.Version, About: p.tells, MaxSkew: c.MaxClockSkew, Reserve: uint64(c.Reserve), Logs: p.o.Partitions, Files: p.o.Files, Sending: p.sending,
		})
	}
	at, err := brokersOf(&c.Kafka)
	if err != nil {
		return nil, err
	}
	return kafka.Open(of, kafka.Options{
		Dir: filepath.Join(dir, datadir.Kafka), Network: p.network, Brokers: at, Topic: c.Kafka.Topic, Name: c.Name, Partition: byte(p.number), Partitions: p.o.Partitions,
		Heartbeat: c.Heartbeat, Log: p.logger(), Fatal: p.fatal, Version: p.o.Version, About: p.tells, MaxSkew: c.MaxClockSkew, Reserve: uint64(c.Reserve),
		Joined: func() error { return files.Forsake(p.destinations) },
	})
}

// name returns the name of the cluster, by which servers of another one are
// refused. All have the same number of partitions.
func (m *Member) name() string {
	if m.o.Partitions == 1 {
		return m.o.Cluster.Name
	}
	return fmt.Sprintf("%s, with partitions: %d", m.o.Cluster.Name, m.o.Partitions)
}

func brokersOf(k *membership.Kafka) (brokers.Options, error) {
	o, err := brokers.Parse(k.URL, k.User, k.Password)
	if err == nil && o.Partitions > 0 {
		err = errors.New("partitions is not a setting of a log")
	}
	return o, err
}

// CheckBrokers returns the problem with the brokers of a log, or nil.
func CheckBrokers(c *membership.Cluster) error {
	if c.Log != membership.OverKafka || c.Kafka.URL == "" {
		return nil
	}
	_, err := brokersOf(&c.Kafka)
	return err
}

// errOverKafka is the answer to what needs servers with votes.
var errOverKafka = errors.New("this is for servers with cluster.log: raft. With kafka, a server takes part in the log by itself, the brokers store it, " +
	"and if the server that leads stops, another one leads at once")

// overRaft returns the log, if it is one of Raft.
func (p *Part) overRaft() (*raft.Log, error) {
	log, is := p.raft.Load().(*raft.Log)
	if !is {
		return nil, errOverKafka
	}
	return log, nil
}

// machine is the store as the log sees it.
type machine struct {
	store.Replica

	dir string
}

// CheckFile implements [raft.Machine].
func (machine) CheckFile(name string) error { return engine.CheckFile(nil, name) }

// Check implements [raft.Machine].
func (machine) Check(dir string) (uint64, error) { return store.CheckReplica(nil, dir) }

// Replace implements [raft.Machine]. Much of the server uses the store's files,
// so the new ones take their place when the server starts again.
func (m machine) Replace(dir string) error {
	if err := raft.Stage(nil, m.dir, dir); err != nil {
		return err
	}
	return raft.ErrRestart
}

// storeLog is the log as the store sees it.
type storeLog struct {
	raft sharedLog
	log  *slog.Logger
}

// Append implements [store.Log].
func (l storeLog) Append(e entry.Entry) error { return l.raft.Append(context.Background(), e) }

// Clean removes from the log's own files what was erased.
func (l storeLog) Clean(ctx context.Context) error { return l.raft.Clean(ctx) }

// Close implements [store.Log].
func (l storeLog) Close() {
	if err := l.raft.Close(); err != nil {
		l.log.Error("the log of the cluster was not closed in order", "err", err)
	}
}
