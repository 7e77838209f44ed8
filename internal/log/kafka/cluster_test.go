package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/raft"
	"trackway/internal/store/digest"
)

// state is a machine of a test: what it has applied, in files.
type state struct {
	mu      sync.Mutex
	Index   uint64
	Names   []string
	Known   map[string]bool // origin and counter of what it has applied
	pending *state          // takes the place of this one at the next opening
	taken   []digest.Digest
	twist   func(*entry.Once) // changes an entry before it is applied; nil: nothing does
}

// Digests implements [Machine].
func (s *state) Digests() []digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// Keyed implements [Machine].
func (*state) Keyed() bool { return false }

// Adopt implements [Machine]. The state is one part, so there is nothing to do.
func (*state) Adopt(uint64, []byte) {}

func (s *state) setTwist(f func(*entry.Once)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.twist = f
}

func (s *state) Apply(index uint64, e entry.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	once, ok := e.(*entry.Once)
	if !ok || index <= s.Index {
		return fmt.Errorf("entry %d after %d", index, s.Index)
	}
	s.Index = index
	if s.twist != nil {
		s.twist(once)
	}
	if once.Entry.Kind() == entry.KindDigest {
		content := strconv.FormatUint(uint64(sumOf([]byte(strings.Join(s.Names, " ")))), 16)
		s.taken = append(s.taken, digest.Digest{Index: index, Content: content, Next: []byte{}})
		s.taken = slices.Delete(s.taken, 0, max(0, len(s.taken)-digest.Kept))
	}
	id := fmt.Sprintf("%x %d", once.Origin, once.Counter)
	c, is := once.Entry.(*entry.Commands)
	if !is || s.Known[id] {
		once.Again = s.Known[id]
		return nil
	}
	if s.Known == nil {
		s.Known = make(map[string]bool)
	}
	s.Known[id] = true
	for i := range c.Requests {
		r := &c.Requests[i]
		for r.Done = range r.Commands {
			s.Names = append(s.Names, r.Commands[r.Done].Type)
			r.Results[r.Done].Seq = uint64(len(s.Names))
		}
		r.Done = len(r.Commands)
	}
	return nil
}

func (s *state) Applied() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Index
}

func (*state) Sync() error { return nil }

func (s *state) Checkpoint(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "state"), text, private))
}

func (*state) CheckFile(string) error { return nil } // Check reads all

func (*state) Check(dir string) (uint64, error) {
	s, err := readState(dir)
	return s.Index, err
}

func (s *state) Replace(dir string) (err error) {
	s.pending, err = readState(dir)
	return errors.Join(err, os.RemoveAll(dir), raft.ErrRestart)
}

func readState(dir string) (*state, error) {
	s := new(state)
	text, err := os.ReadFile(filepath.Join(dir, "state"))
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	return s, err
}

func (s *state) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.Names)
}

// server is a server of a test.
type server struct {
	*Log

	o       Options
	machine *state
	fatal   chan error
}

// serve opens a server. The fields of o that are not set are those of a server
// with a directory of its own.
func serve(t *testing.T, url string, m *state, o Options) *server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 500 * time.Millisecond
	}
	s := &server{machine: m, fatal: make(chan error, 10), o: o}
	o.Network, o.Brokers, o.Name = network(t), optionsOf(t, url), "test"
	o.Fatal = func(err error) { s.fatal <- err }
	var err error
	if s.Log, err = Open(m, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// again closes a server and opens it again.
func (s *server) again(t *testing.T, url string) *server {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.machine.pending != nil {
		s.machine = s.machine.pending
	}
	return serve(t, url, s.machine, s.o)
}

func visit(name string) *entry.Commands {
	return &entry.Commands{Requests: []entry.Request{{
		Commands: []trackway.Command{{Kind: trackway.AddEvent, Project: 1, Type: name}}, Results: make([]trackway.Result, 1),
	}}}
}

func (s *server) visit(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		await(t, func() error {
			err := s.Append(t.Context(), visit(name))
			if err != nil && !errors.Is(err, raft.ErrUnavailable) { // that was not stored: this machine is busy
				t.Fatalf("%s: %v", name, err)
			}
			return err
		})
	}
}

func (s *server) wants(t *testing.T, names ...string) {
	t.Helper()
	await(t, func() error {
		if got := s.machine.names(); !slices.Equal(got, names) {
			return fmt.Errorf("it has %q, want %q", got, names)
		}
		return nil
	})
}

// refuses waits until a server ends by itself, and checks why.
func (s *server) refuses(t *testing.T, why string) {
	t.Helper()
	select {
	case err := <-s.fatal:
		if !strings.Contains(err.Error(), why) {
			t.Errorf("it ends because of %v, want %q", err, why)
		}
	case <-time.After(time.Minute):
		t.Errorf("it goes on, and should end: %s", why)
	}
	if err := s.Append(t.Context(), visit("late")); err == nil {
		t.Error("it has taken an entry")
	}
}

// two returns two servers with the same log, which has begun.
func two(t *testing.T, url string, o Options) (a, b *server) {
	t.Helper()
	o.Topic = newTopic()
	a, b = serve(t, url, new(state), o), serve(t, url, new(state), o)
	if err := a.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, a.Log)
	awaitReady(t, b.Log)
	return a, b
}

// TestServers: two servers have the same entries, each with its own results,
// and go on after a start.
func TestServers(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, Options{})
	e := visit("a1")
	await(t, func() error { return a.Append(t.Context(), e) })
	if e.Requests[0].Results[0].Seq != 1 {
		t.Errorf("got %+v", e.Requests[0])
	}
	b.visit(t, "b1")
	b.wants(t, "a1", "b1")
	a.wants(t, "a1", "b1")
	b = b.again(t, url)
	awaitReady(t, b.Log)
	a.visit(t, "a2")
	await(t, func() error { return b.CatchUp(t.Context()) })
	if got := b.machine.names(); len(got) != 3 {
		t.Errorf("after it has caught up, it has %q", got)
	}
	b.wants(t, "a1", "b1", "a2")
	await(t, func() error {
		if s := a.Status(); len(s.Members) != 2 || s.Applied != s.Last || s.Leader == "" {
			return fmt.Errorf("got %+v", s)
		}
		return nil
	})
}

// TestSentAgain: a record that is in the topic twice takes effect once.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, Options{})
	a.visit(t, "a1")
	client := clientOf(t, url, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{a.o.Topic: {0: kgo.NewOffset().AtStart()}}), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for sent := 0; sent == 0; {
		for _, r := range client.PollFetches(t.Context()).Records() {
			if h, ok := headOf(r); ok && h.kind == kindEntry {
				sent++
				if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: a.o.Topic, Value: r.Value, Headers: r.Headers}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	b.visit(t, "b1")
	a.wants(t, "a1", "b1")
	b.wants(t, "a1", "b1")
}

// TestStranger: records that are not of the log have no effect.
func TestStranger(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, Options{})
	client := clientOf(t, url, kgo.DefaultProduceTopic(a.o.Topic))
	h := head{newLog(), 0, kindEntry, 1, "test"}
	for _, r := range []*kgo.Record{kgo.StringRecord("x"), {Value: []byte("x"), Headers: []kgo.RecordHeader{h.header()}}} {
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	a.visit(t, "a1")
	b.wants(t, "a1")
}

// TestWentBack: a server stops if the topic is not the one that its state is
// of, or has lost records.
func TestWentBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm func(t *testing.T, url string, a *server)
		why  string
	}{
		"deleted":       {func(t *testing.T, url string, a *server) { t.Helper(); remove(t, url, a) }, "there is no topic"},
		"created again": {func(t *testing.T, url string, a *server) { t.Helper(); remove(t, url, a); fill(t, url, a.o.Topic, 20) }, "created again"},
		"shorter": {func(t *testing.T, url string, a *server) {
			t.Helper()
			rebuild(t, url, a, func(all []*kgo.Record) []*kgo.Record { return all[:len(all)-1] })
		}, "the log went back"},
		"other records": {func(t *testing.T, url string, a *server) {
			t.Helper()
			rebuild(t, url, a, func(all []*kgo.Record) []*kgo.Record {
				all[len(all)-1].Value = []byte("other")
				return append(all, all[0], all[0])
			})
		}, "is not the one that this server has read"},
		"another Kafka": {func(t *testing.T, _ string, a *server) {
			t.Helper()
			a.kept.Cluster = "another"
			if err := a.save(a.kept); err != nil {
				t.Fatal(err)
			}
		}, "Kafka's cluster is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := urlOf(fake(t))
			o := Options{Topic: newTopic(), Heartbeat: time.Minute} // it does not lead: the last record is an entry
			a := serve(t, url, new(state), o)
			if err := a.Bootstrap(); err != nil {
				t.Fatal(err)
			}
			awaitReady(t, a.Log)
			a.visit(t, "a1", "a2")
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			test.harm(t, url, a)
			serve(t, url, a.machine, a.o).refuses(t, test.why)
		})
	}
}

// remove deletes the topic of a server.
func remove(t *testing.T, url string, s *server) {
	t.Helper()
	if _, err := kadm.NewClient(clientOf(t, url)).DeleteTopic(t.Context(), s.o.Topic); err != nil {
		t.Fatal(err)
	}
}

// fill makes a topic for a log, with records of nobody.
func fill(t *testing.T, url, topic string, n int) {
	t.Helper()
	all := make([]*kgo.Record, n)
	for i := range all {
		all[i] = kgo.StringRecord("x")
	}
	makeTopic(t, url, topic, all)
}

func makeTopic(t *testing.T, url, topic string, all []*kgo.Record) kadm.TopicID {
	t.Helper()
	client := clientOf(t, url, kgo.DefaultProduceTopic(topic))
	set := make(map[string]*string)
	for key, value := range logSettings {
		set[key] = &value
	}
	made, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, set, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Value: r.Value, Headers: r.Headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return made.ID
}

// rebuild makes the topic of a server again, with other records, and has the
// server take it for the old one.
func rebuild(t *testing.T, url string, s *server, change func([]*kgo.Record) []*kgo.Record) {
	t.Helper()
	client := clientOf(t, url, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.o.Topic: {0: kgo.NewOffset().AtStart()}}))
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), s.o.Topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(s.o.Topic, 0)
	var all []*kgo.Record
	for int64(len(all)) < end.Offset {
		all = append(all, client.PollFetches(t.Context()).Records()...)
	}
	topic := newTopic()
	id := makeTopic(t, url, topic, change(all))
	s.o.Topic, s.kept.Topic = topic, id.String()
	if err := s.save(s.kept); err != nil {
		t.Fatal(err)
	}
}

// TestSettings: a topic that could lose entries is refused.
func TestSettings(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	topic := newTopic()
	client := clientOf(t, url)
	set := make(map[string]*string)
	for key, value := range logSettings {
		set[key] = &value
	}
	day := "86400000"
	set["retention.ms"] = &day
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, set, topic); err != nil {
		t.Fatal(err)
	}
	serve(t, url, new(state), Options{Topic: topic}).refuses(t, "retention.ms is 86400000, and must be -1")

	topic = newTopic()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, Members(topic)); err != nil {
		t.Fatal(err)
	}
	serve(t, url, new(state), Options{Topic: topic}).refuses(t, "message.timestamp.type=CreateTime, and must have LogAppendTime")

	good := map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "unclean.leader.election.enable": "false",
		"max.message.bytes": "16777216", "min.insync.replicas": "2", "flush.messages": "9223372036854775807",
	}
	if wrong := wrongSettings(good, 3, false); len(wrong) > 0 {
		t.Error(wrong)
	}
	for key, value := range map[string]string{
		"cleanup.policy": "compact,delete", "retention.ms": "1", "retention.bytes": "1", "unclean.leader.election.enable": "true",
		"max.message.bytes": "1048588", "min.insync.replicas": "1",
	} {
		is := maps.Clone(good)
		is[key] = value
		if wrong := wrongSettings(is, 3, false); len(wrong) != 1 || !strings.Contains(wrong[0], key) {
			t.Errorf("%s: %s: got %q", key, value, wrong)
		}
	}
	for _, test := range []struct {
		flush    string
		copies   int
		redpanda bool
		want     string
	}{
		{"9223372036854775807", 3, false, "in the memory of at least 2 brokers, of 3 that have the topic"},
		{"1", 3, false, "on the disk of at least 2 brokers, of 3 that have the topic"},
		{"9223372036854775807", 3, true, "on the disk of at least 2 brokers, of 3 that have the topic"},
		{"1", 1, false, "on the disk of the one broker that has the topic"},
	} {
		good["flush.messages"] = test.flush
		if got := durability(good, test.copies, test.redpanda); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestOccupied: a server with data of its own does not take part in a log that
// another one has begun, and one of another cluster neither. A log can begin
// with data.
func TestOccupied(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	o := Options{Topic: newTopic()}
	a := serve(t, url, &state{Index: 7, Names: []string{"old"}}, o)
	if err := a.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, a.Log)
	a.visit(t, "a1")
	a.wants(t, "old", "a1")
	if got := a.machine.Applied(); got < 9 {
		t.Errorf("the entry after 7 and the beginning is %d", got)
	}
	if err := a.Bootstrap(); !errors.Is(err, raft.ErrMember) {
		t.Errorf("it began twice: %v", err)
	}
	serve(t, url, &state{Index: 3, Names: []string{"own"}}, o).refuses(t, "holds data that is not of the log")
}
