package raft

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"trackway/internal/log/compare"
	"trackway/internal/store/digest"
)

// standing is what a member tells the others of itself. It answers the question
// "standing", which programs before digests do not know.
type standing struct {
	ID      string
	Version string          // of its program
	Start   uint64          // another number after each start
	Now     int64           // its clock, in nanoseconds since 1970
	Applied uint64          // index of the last entry in its state
	Unfit   string          // why it takes no commands; empty: it does
	Full    bool            // it takes no entries, either
	Entries int             // the highest version of entries that it reads
	Digests []digest.Digest // the last ones; only the newest says where the next part begins
	About   json.RawMessage `json:",omitempty"` // see [Options.About]
}

const maxAbout = 2 << 10 // bytes

// other is what this server knows of another member.
type other struct {
	standing

	heard  time.Time     // when it answered
	offset time.Duration // its clock less that of this server
	margin time.Duration // the offset is right within this: half of the way there and back
}

// compared returns what is compared.
func (o *other) compared() compare.Server {
	return compare.Server{ID: o.ID, Version: o.Version, Start: o.Start, Applied: o.Applied, Digests: o.Digests}
}

// others is what this server knows of all other members, by their ids. It is
// safe for concurrent use.
type others struct {
	mu    sync.Mutex
	known map[string]other
}

// get returns what is known of a member.
func (o *others) get(id string) (other, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, ok := o.known[id]
	return known, ok
}

// all returns what comparisons need of all that have ever answered.
func (o *others) all() (all []compare.Server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, known := range o.known {
		all = append(all, known.compared())
	}
	return all
}

// note notes an answer.
func (o *others) note(answer other) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = make(map[string]other)
	}
	o.known[answer.ID] = answer
}

// standing returns what this server tells the others.
func (l *Log) standing() *standing {
	s := &standing{
		ID: l.ID(), Version: l.o.Version, Start: l.counter.Load() >> startBits, Applied: l.progress.Reached(), Digests: compare.ToTell(l.machine, maxChange/4),
		Entries: reads, Full: l.Full(),
	}
	if why := l.Unfit(); why != nil {
		s.Unfit = why.Error()
	}
	if l.o.About != nil {
		if about := l.o.About(); len(about) <= maxAbout {
			s.About = about
		}
	}
	s.Now = l.o.Now().UnixNano() // last, so that it is little older than the answer
	return s
}

// answerTime limits how long a member is waited for.
const answerTime = 2 * time.Second

// askOthers asks all other members for their standing, at once, unless they
// have told it just now, see [Log.Progress].
func (l *Log) askOthers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var asked sync.WaitGroup
	for _, m := range l.members() {
		known, ok := l.others.get(m.ID)
		if m.ID == l.ID() || ok && time.Since(known.heard) < l.o.askEach/2 {
			continue
		}
		asked.Go(func() { _, _ = l.askStanding(ctx, &m) }) // it is down, or its program is older
	}
	asked.Wait()
}

// askStanding asks a member for its standing, and notes it.
func (l *Log) askStanding(ctx context.Context, m *Member) (*standing, error) {
	got, err := l.askAt(ctx, change{Cluster: l.o.Name, Do: "standing"}, m.Address)
	if err == nil {
		got, err = wrong(got)
	}
	switch {
	case err != nil:
		return nil, err
	case got.Standing == nil || got.Standing.ID != m.ID:
		return nil, errOther
	}
	half := got.took / 2
	l.others.note(other{
		standing: *got.Standing, heard: time.Now(), margin: half,
		offset: time.Unix(0, got.Standing.Now).Sub(got.sent.Add(half)),
	})
	return got.Standing, nil
}

// ready reports whether a member answers and takes entries, as far as it says.
// It does not hold up the end of this server.
func (l *Log) ready(id hraft.ServerID, address hraft.ServerAddress) bool {
	open, end := l.whileOpen()
	defer end()
	ctx, cancel := context.WithTimeout(open, answerTime)
	defer cancel()
	s, err := l.askStanding(ctx, &Member{ID: string(id), Address: hostPort(address)})
	return err == nil && !s.Full
}

var errOther = errors.New("another server is at this address")

// Progress asks a member for the last entry in its state. With the answer comes
// all that a member tells of itself, so that this server need not ask for that,
// too.
func (l *Log) Progress(ctx context.Context, id, address string) (uint64, error) {
	s, err := l.askStanding(ctx, &Member{ID: id, Address: address})
	if err != nil {
		return 0, err
	}
	return s.Applied, nil
}

// Abouts returns what the other members have told this server last, see
// [Options.About].
func (l *Log) Abouts() (all []json.RawMessage) {
	for _, m := range l.members() {
		if known, ok := l.others.get(m.ID); ok && m.ID != l.ID() && known.About != nil {
			all = append(all, known.About)
		}
	}
	return all
}

// tell tells all other members something, at once.
func (l *Log) tell(news change) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	news.Cluster = l.o.Name
	var told sync.WaitGroup
	for _, m := range l.members() {
		if m.ID != l.ID() {
			told.Go(func() { _, _ = l.askAt(ctx, news, m.Address) }) // a member that is down cannot be told
		}
	}
	told.Wait()
}

// fresh returns the members that have answered lately, without this server, and
// how many members there are.
func (l *Log) fresh() (answered []other, members int) {
	all := l.members()
	for _, m := range all {
		if known, ok := l.others.get(m.ID); ok && time.Since(known.heard) < 3*l.o.askEach {
			answered = append(answered, known)
		}
	}
	return answered, len(all)
}
