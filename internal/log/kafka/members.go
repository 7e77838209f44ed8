package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/log/compare"
	"trackway/internal/log/raft"
	"trackway/internal/sleep"
)

// The members of a log tell each other of themselves in a topic of their own,
// which keeps the last record of each. So everybody knows whose state needs
// which entries, even if that server is down.

// standing is what a member says of itself. The key of its record is its id and
// the partition.
type standing struct {
	Log     string `json:"log"` // the log that it is a member of
	ID      string `json:"id"`
	Address string `json:"address"`
	Version string `json:"version"`

	Applied  uint64 `json:"applied"` // index of the last record that it has read
	Durable  uint64 `json:"durable"` // of the last one in its state on the disk
	Unfit    string `json:"unfit,omitempty"`
	Differs  uint64 `json:"differs,omitempty"` // the digest in which its state differs from that of most
	Stopping bool   `json:"stopping,omitempty"`

	Term   uint64 `json:"term"`   // the last one that it knows
	Leader string `json:"leader"` // the id of the server that leads in it
	Beat   uint64 `json:"beat"`   // the number of the record, of this start

	About json.RawMessage `json:"about,omitempty"` // see [Options.About]
}

const mostAbout = 2 << 10 // bytes

// member is what this server knows of a member.
type member struct {
	standing

	heard time.Time // zero: not since this server started
}

// members is what this server knows of all members of the log, with itself. It
// is safe for concurrent use.
type members struct {
	mu      sync.Mutex
	all     map[string]member // by key
	whole   bool              // the topic was read to its end
	wholeAt time.Time
	through time.Time // when the last record began that was acknowledged; zero: none
	beats   uint64    // records of this server
	synced  uint64    // index of the last entry that is on the disk
	sent    map[uint64]span

	lead lead
}

// span is when a record was sent, and when it was acknowledged.
type span struct{ from, to time.Time }

// contact reports whether the brokers have acknowledged something within a
// time.
func (g *members) contact(within time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.through.IsZero() && time.Since(g.through) < within
}

// never reports whether the brokers have acknowledged nothing yet.
func (g *members) never() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.through.IsZero()
}

var errNotWhole = errors.New("this server does not know all members yet")

// lowest returns the index of the last entry that all members have on their
// disks.
func (g *members) lowest(partition byte) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.whole || len(g.all) == 0 {
		return 0, errNotWhole
	}
	lowest := ^uint64(0)
	for key, m := range g.all {
		if isOf(key, partition) {
			lowest = min(lowest, m.Durable)
		}
	}
	return lowest, nil
}

// lacking returns the addresses of the members that do not have an entry on
// their disks.
func (g *members) lacking(index uint64, partition byte) (addresses []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.whole {
		return nil, errNotWhole
	}
	for key, m := range g.all {
		if isOf(key, partition) && m.Durable < index {
			addresses = append(addresses, m.Address)
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}

func keyOf(id string, partition byte) string { return id + "/" + strconv.Itoa(int(partition)) }

func isOf(key string, partition byte) bool {
	return len(key) > 2*logBytes && key[2*logBytes:] == "/"+strconv.Itoa(int(partition))
}

// list returns the members, sorted by their ids.
func (l *Log) list() []member {
	g := &l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []member
	for key, m := range g.all {
		if isOf(key, l.o.Partition) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// fresh reports whether a member has told of itself lately.
func (l *Log) fresh(m *member) bool {
	return !m.heard.IsZero() && time.Since(m.heard) < 3*l.o.Heartbeat
}

// beat tells the others of this server, again and again.
func (l *Log) beat() {
	for sleep.For(l.ctx, l.pace()) == nil {
		if l.broken() != nil {
			return
		}
		if !l.known().Begun {
			continue
		}
		if err := l.tell(l.ctx, false); err != nil && l.Ready() == nil { // else it is known
			l.o.Log.Warn("this server could not tell the others of itself", "err", l.o.Brokers.Clean(err))
		}
	}
}

// pace is short until the others know of this server.
func (l *Log) pace() time.Duration {
	if l.group.contact(time.Hour) {
		return l.o.Heartbeat
	}
	return min(againPause, l.o.Heartbeat)
}

// tell tells the others of this server once.
func (l *Log) tell(ctx context.Context, stopping bool) error {
	g := &l.group
	applied := l.machine.Applied()
	g.mu.Lock()
	synced := g.synced
	g.mu.Unlock()
	if applied > synced && !stopping {
		if err := l.machine.Sync(); err != nil {
			return err
		}
		synced = applied
	}
	k := l.known()
	s := standing{
		Log: k.Log, ID: k.ID, Address: l.o.Network.Advertise(), Version: l.o.Version, Applied: l.progress.Reached(), Durable: synced, Stopping: stopping,
		Differs: l.states.Differs(k.ID),
	}
	if why := l.Unfit(); why != nil {
		s.Unfit = why.Error()
	}
	if l.o.About != nil {
		if about := l.o.About(); len(about) <= mostAbout {
			s.About = about
		}
	}
	g.mu.Lock()
	g.synced = synced
	g.beats++
	s.Beat, s.Term, s.Leader = g.beats, g.lead.term, g.lead.id
	g.mu.Unlock()
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	from := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 3*l.o.Heartbeat)
	defer cancel()
	done := make(chan error, 1)
	r := &kgo.Record{Topic: Members(l.o.Topic), Key: []byte(keyOf(s.ID, l.o.Partition)), Value: value}
	l.client.TryProduce(ctx, r, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.through = from
	if g.sent == nil {
		g.sent = make(map[uint64]span)
	}
	g.sent[s.Beat] = span{from, time.Now()}
	delete(g.sent, s.Beat-10)
	return nil
}

// leave tells the others that this server stops, if it can.
func (l *Log) leave() {
	if !l.known().Begun || l.Ready() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.tell(ctx, true); err != nil {
		l.o.Log.Info("this server could not tell the others that it stops", "err", l.o.Brokers.Clean(err))
	}
}

// watchMembers reads what the members tell, until the log is closed.
func (l *Log) watchMembers() {
	for l.ctx.Err() == nil && l.broken() == nil {
		if !l.known().Begun {
			_ = sleep.For(l.ctx, againPause)
			continue
		}
		if err := l.readMembers(l.ctx); err != nil && l.ctx.Err() == nil && l.Ready() == nil { // else it is known
			l.o.Log.Warn("what the members tell could not be read", "err", l.o.Brokers.Clean(err))
		}
		_ = sleep.For(l.ctx, againPause) // the loop looks whether it has ended
	}
}

func (l *Log) readMembers(ctx context.Context) error {
	name := Members(l.o.Topic)
	ends, err := l.admin.ListEndOffsets(ctx, name)
	if err != nil {
		return err
	}
	end, ok := ends.Lookup(name, 0)
	if !ok || end.Err != nil {
		return fmt.Errorf("ask for the end of the topic %s: %w", name, end.Err)
	}
	opts, err := l.o.Brokers.Dial()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(fetchWait), kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	next := int64(0)
	for {
		if next >= end.Offset {
			l.group.isWhole()
		}
		waiting, cancel := context.WithTimeout(ctx, silence(l.o.Heartbeat))
		fetches := client.PollFetches(waiting)
		late := waiting.Err() != nil
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		if late {
			return errSilent // this server's own records should come
		}
		if failed := fetches.Errors(); len(failed) > 0 {
			return failed[0].Err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			next = r.Offset + 1
			l.heard(r, r.Offset >= end.Offset)
		}
	}
}

// silence is after how long without any record the topic is opened again.
func silence(heartbeat time.Duration) time.Duration { return max(10*heartbeat, 10*time.Second) }

func (g *members) isWhole() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.whole {
		g.whole, g.wholeAt = true, time.Now()
	}
}

// heard takes in what a member tells. If it is not live, it was told before
// this server has asked.
func (l *Log) heard(r *kgo.Record, live bool) {
	log, g := l.known().Log, &l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[string]member)
	}
	key := string(r.Key)
	if r.Value == nil {
		delete(g.all, key) // it was removed
		return
	}
	m := member{heard: g.all[key].heard}
	if json.Unmarshal(r.Value, &m.standing) != nil || m.Log != log || keyOf(m.ID, l.o.Partition) != key {
		return
	}
	if live {
		m.heard = time.Now()
		if m.ID == idText(l.origin) && m.Address != l.o.Network.Advertise() {
			// mu is held here.
			go l.fatal(fmt.Errorf("%s is the same server as this one: its data directory, or that of this server, is a copy. Empty one of them", m.Address))
		}
	}
	g.all[key] = m
	if m.Differs != 0 && m.ID != idText(l.origin) {
		l.states.Note(m.ID, m.Differs)
	}
	if live && m.Term > g.lead.term {
		g.lead.term, g.lead.id = m.Term, m.Leader
	}
	if sent, ok := g.sent[m.Beat]; ok && m.ID == idText(l.origin) && live {
		l.compareClock(r.Timestamp, sent)
	}
}

// ErrRuns says that a server cannot be removed while it runs.
var ErrRuns = errors.New("stop it first: a server that runs is a member by itself")

// Expel removes a member that is down for good: no entries are kept for it any
// more. If it runs, the error is [ErrRuns].
func (l *Log) Expel(ctx context.Context, id string) error {
	all := l.list()
	i := slices.IndexFunc(all, func(m member) bool { return m.ID == id })
	switch {
	case i < 0:
		return fmt.Errorf("there is no member with the ID %s", id)
	case l.fresh(&all[i]) && !all[i].Stopping:
		return fmt.Errorf("%s runs: %w", all[i].Address, ErrRuns)
	}
	err := l.client.ProduceSync(ctx, &kgo.Record{Topic: Members(l.o.Topic), Key: []byte(keyOf(id, l.o.Partition))}).FirstErr()
	return l.o.Brokers.Clean(err)
}

// Abouts returns what the other members have told this server last, see
// [Options.About].
func (l *Log) Abouts() (all []json.RawMessage) {
	for _, m := range l.list() {
		if m.ID != l.ID() && m.About != nil {
			all = append(all, m.About)
		}
	}
	return all
}

// Progress returns the last entry that a member has applied, as it has told
// lately.
func (l *Log) Progress(_ context.Context, id, address string) (uint64, error) {
	for _, m := range l.list() {
		if m.ID == id && l.fresh(&m) && !m.Stopping {
			return m.Applied, nil
		}
	}
	return 0, fmt.Errorf("%s does not tell of itself", address)
}

// Status returns what this server knows.
func (l *Log) Status() raft.Status {
	end := l.end.Load()
	s := raft.Status{ID: l.ID(), Applied: l.progress.Reached(), Last: end, Commit: end}
	s.Last, s.Commit = max(s.Last, s.Applied), max(s.Commit, s.Applied)
	s.Term, s.Leading = l.Leading()
	_, id, _ := l.leader()
	for _, m := range l.list() {
		// Its clock is compared with that of a broker, not of this server.
		shown := raft.Member{ID: m.ID, Address: m.Address, Voter: true, Unfit: m.Unfit, Differs: l.states.Differs(m.ID)}
		if m.ID == id && l.fresh(&m) && !m.Stopping {
			s.Leader = m.Address
			if !s.Leading {
				s.LastContact = time.Since(m.heard)
			}
		}
		s.Members = append(s.Members, shown)
	}
	return s
}

// Compared returns what comparisons of states have found.
func (l *Log) Compared() compare.Comparison { return l.states.Compared() }
