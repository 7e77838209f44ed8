// Package compare compares the states of the servers that apply the same
// entries, by their digests. ADR 28 gives the reasons.
package compare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/health"
	"trackway/internal/store/digest"
)

// ErrDiffers says that the state of this server is not that of most others.
var ErrDiffers = errors.New("the data of this server differs from that of most servers of the cluster")

// Stops is why a server takes nothing that stops because its state differs.
var Stops = &health.Unfit{Full: true, Why: &trackway.Error{
	Code: trackway.Overloaded, Msg: "This server stops, because its data differs from that of the others.",
}}

// Pace is how often the server that leads orders a digest.
type Pace struct {
	Entries uint64        // after so many entries
	Time    time.Duration // and after so long, to read what does not change
	Least   time.Duration // never sooner: a digest takes processor time
}

// Usual is the usual pace.
var Usual = Pace{Entries: 10_000, Time: time.Minute, Least: 10 * time.Second}

// Machine is the state of a server.
type Machine interface {
	// Digests returns the last digests of the state, the oldest first. Entries
	// ask for them: see [entry.Digest].
	Digests() []digest.Digest

	// Adopt tells where the part of the state begins that follows a digest, as
	// another server knows.
	Adopt(index uint64, next []byte)
}

// Server is what a server tells the others.
type Server struct {
	ID      string
	Version string          // of its program
	Start   uint64          // another number after each start
	Applied uint64          // index of the last entry in its state
	Digests []digest.Digest // the last ones; only the newest says where the next part begins
}

// ToTell returns the digests of a state for another server. Only the newest
// says where the next part begins, if that has at most so many bytes.
func ToTell(m Machine, most int) []digest.Digest {
	all := m.Digests()
	for i := range all {
		if d := &all[i]; i < len(all)-1 || len(d.Next) > most {
			d.Next = nil
		}
	}
	return all
}

// States is what comparisons have found. It is safe for concurrent use.
type States struct {
	machine Machine
	pace    Pace
	log     *slog.Logger

	mu        sync.Mutex
	wrong     map[string]uint64 // the servers whose state differs from that of most, and in which digest
	undecided uint64            // the last digest in which servers differ, and no state is that of most
	last      uint64            // the last digest that was compared with most servers

	// Of the digests that this server has ordered or seen, for the one that
	// leads. Only Order uses them.
	seen   uint64            // index of the last one
	at     time.Time         // when this server saw it
	starts map[string]uint64 // of the servers, at that time
	busy   sync.Mutex        // held while one is being ordered
}

// New returns the comparisons of a server with this state.
func New(m Machine, pace Pace, log *slog.Logger) *States {
	return &States{machine: m, pace: pace, log: log}
}

// Differs returns in which digest the state of a server differs from that of
// most, or 0.
func (s *States) Differs(id string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong[id]
}

// Comparison is the result of the comparisons so far.
type Comparison struct {
	Last      uint64 // index of the last digest that was compared with most servers
	Differing int    // servers whose state differs from that of others
}

// Compared returns what this server knows.
func (s *States) Compared() Comparison {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Comparison{Last: s.last, Differing: len(s.wrong)}
	if c.Differing == 0 && s.undecided > 0 {
		c.Differing = 2 // at least
	}
	return c
}

// Hold keeps this server from ordering digests, from now on. It is for tests.
func (s *States) Hold() { s.busy.Lock() }

// Compare compares the state of this server with those of others that run the
// same program. It returns in which digest its own is not that of most members,
// whose ids are given; 0: in none, as far as it knows.
func (s *States) Compare(self *Server, others []Server, members []string) (differs uint64) {
	s.mu.Lock()
	maps.DeleteFunc(s.wrong, func(id string, _ uint64) bool { return !slices.Contains(members, id) })
	s.mu.Unlock()
	of := map[string][]digest.Digest{self.ID: s.machine.Digests()}
	for i := range others {
		o := &others[i]
		for _, d := range o.Digests {
			if d.Next != nil {
				s.machine.Adopt(d.Index, d.Next)
			}
		}
		if o.Version == self.Version {
			of[o.ID] = o.Digests
		}
	}
	v := judge(len(members), of)
	s.mu.Lock()
	news := v.undecided != 0 && v.undecided != s.undecided
	s.undecided, s.last = v.undecided, max(s.last, v.last)
	s.mu.Unlock()
	for id, index := range v.wrong {
		s.note(id, index, self.ID)
	}
	if v.wrong[self.ID] == 0 && news && len(v.wrong) == 0 {
		s.log.Warn("servers have different data, and too few have answered to tell which is right", "entry", v.undecided)
	}
	return v.wrong[self.ID]
}

// Note notes that the state of another server is not that of most, as it has
// found itself.
func (s *States) Note(id string, index uint64) { s.note(id, index, "") }

func (s *States) note(id string, index uint64, self string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong[id] != 0 {
		return
	}
	if s.wrong == nil {
		s.wrong = make(map[string]uint64)
	}
	s.wrong[id] = index
	if id != self {
		s.log.Error("the data of another server differs from that of most servers: it stops by itself; then empty its data directory and let it join again",
			"id", id, "entry", index)
	}
}

// Order has all servers take a digest, by appending an entry, if this server
// leads and a digest is due. known are the other servers, as they have told
// last since this server started.
func (s *States) Order(ctx context.Context, leads bool, self *Server, known []Server, members []string, add func(context.Context, entry.Entry) error) {
	last := digest.Digest{}
	if taken := s.machine.Digests(); len(taken) > 0 {
		last = taken[len(taken)-1]
	}
	if last.Index != s.seen {
		s.seen, s.at = last.Index, time.Now()
	}
	if !leads || !s.due(last, time.Since(s.at), self, known, members) || !s.busy.TryLock() {
		return
	}
	e := new(entry.Digest)
	if len(last.Next) > 0 {
		e.After = last.Index
	}
	go func() {
		defer s.busy.Unlock()
		if err := add(ctx, e); err != nil && ctx.Err() == nil {
			s.log.Info("the servers took no digest", "error", err)
		}
	}()
}

// due reports whether a digest is due, so long after the last one. Before the
// first one that this server knows of, all members must have answered: an older
// program could not read the entry.
func (s *States) due(last digest.Digest, since time.Duration, self *Server, known []Server, members []string) bool {
	if len(members) < 2 || since < s.pace.Least || last.Index != 0 && last.Content == "" && since < s.pace.Time {
		return false // the last one is being read
	}
	starts, started := make(map[string]uint64), false
	for _, id := range members {
		var of Server
		if id == self.ID {
			of = *self
		} else if i := slices.IndexFunc(known, func(k Server) bool { return k.ID == id }); i >= 0 {
			of = known[i]
		} else if last.Index == 0 {
			return false
		}
		starts[id] = of.Start
		started = started || s.starts[id] != of.Start && of.Applied >= last.Index
	}
	if !started && since < s.pace.Time && self.Applied < last.Index+s.pace.Entries {
		return false
	}
	s.starts = starts
	return true
}

// verdict is what the digests of servers say.
type verdict struct {
	wrong     map[string]uint64 // the servers that differ from most, and the first digest in which they do
	undecided uint64            // the last digest in which servers differ, and no state is that of most; 0: none
	last      uint64            // the last digest that most servers have equally
}

// part is a part of a digest.
type part struct {
	index   uint64
	content bool   // else: effects
	from    uint32 // where the content begins: other contents are not comparable
}

// partsOf returns what servers have found, by the part of a digest and the
// server. It leaves out what they do not know.
func partsOf(of map[string][]digest.Digest) map[part]map[string]string {
	parts := make(map[part]map[string]string)
	note := func(p part, server, value string) {
		if parts[p] == nil {
			parts[p] = make(map[string]string)
		}
		parts[p][server] = value
	}
	for server, all := range of {
		for i := range all {
			d := &all[i]
			if d.Whole {
				note(part{index: d.Index}, server, strconv.FormatUint(uint64(d.Effects), 16))
			}
			switch d.Content {
			case "": // it does not know
			case digest.Damaged:
				note(part{d.Index, true, d.From}, server, server) // equals that of nobody
			default:
				note(part{d.Index, true, d.From}, server, d.Content)
			}
		}
	}
	return parts
}

// judge compares the digests of servers, by their ids. There are as many
// members as it says, some of which may not have answered. A state is right if
// most members have it, and at least two.
func judge(members int, of map[string][]digest.Digest) verdict {
	v := verdict{wrong: make(map[string]uint64)}
	for p, values := range partsOf(of) {
		count, right := make(map[string]int), ""
		for _, value := range values {
			if count[value]++; count[value] > members/2 && count[value] > 1 {
				right = value
			}
		}
		if right == "" {
			if len(count) > 1 {
				v.undecided = max(v.undecided, p.index)
			}
			continue
		}
		v.last = max(v.last, p.index)
		for server, value := range values {
			if at := v.wrong[server]; value != right && (at == 0 || p.index < at) {
				v.wrong[server] = p.index
			}
		}
	}
	return v
}

// Found returns why this server stops, whose state differs in a digest. After
// it comes what has to be done.
func Found(index uint64, cure string) error {
	return fmt.Errorf("%w, as the digest of entry %d says. %s", ErrDiffers, index, cure)
}
