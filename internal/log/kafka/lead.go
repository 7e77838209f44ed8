package kafka

import (
	"encoding/json"
	"errors"
	"time"

	"trackway/internal/log/raft/peer"
	"trackway/internal/sleep"
)

// One server leads: it removes expired events, sends to the destinations, and
// deletes records that nobody needs. A server leads that has claimed it, in the
// log itself. The last claim counts, and its index is the term. So all servers
// agree who leads, and terms rise.
//
// A server that leads stops if it has not heard from the brokers for two
// heartbeats. Others claim after they have not heard from it for three.

// lead is who leads, as far as this server knows.
type lead struct {
	term  uint64    // index of the last claim; 0: none is known
	id    string    // of the server that leads
	mine  uint64    // the last claim of this server that it has read
	asked time.Time // when this server has claimed it last
	free  time.Time // since when nobody leads; zero: somebody does
}

// claim is the value of a record that claims leadership.
type claim struct {
	ID    string `json:"id"`
	Start uint64 `json:"start"` // of the server: a claim ends with it
}

// claimed takes in a claim.
func (l *Log) claimed(index uint64, value []byte) error {
	var c claim
	if err := json.Unmarshal(value, &c); err != nil {
		return err
	}
	own, g := l.ownClaim(), &l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if index < g.lead.term {
		return nil
	}
	g.lead.term, g.lead.id = index, c.ID
	if c == own {
		g.lead.mine = index
	}
	return nil
}

func (l *Log) ownClaim() claim {
	k := l.known()
	return claim{k.ID, k.Starts}
}

// leader returns the term, the server that leads in it, and whether that is
// this one.
func (l *Log) leader() (term uint64, id string, mine bool) {
	g := &l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lead.term, g.lead.id, g.lead.mine != 0 && g.lead.mine == g.lead.term
}

// Leading reports whether this server leads, and in which term.
func (l *Log) Leading() (term uint64, leading bool) {
	term, _, mine := l.leader()
	return term, mine && l.group.contact(2*l.o.Heartbeat) && l.Unfit() == nil && l.broken() == nil && !l.isClosing()
}

func (l *Log) isClosing() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// Leader returns the server that leads, as far as this one knows.
func (l *Log) Leader() (t peer.Target, known bool) {
	_, id, _ := l.leader()
	for _, m := range l.list() {
		if m.ID == id && l.fresh(&m) && !m.Stopping {
			t, err := peer.ParseTarget(m.Address + "#" + id)
			return t, err == nil
		}
	}
	return t, false
}

// look looks again and again whether this server can take commands, and whether
// it should lead.
func (l *Log) look() {
	var before error
	for sleep.For(l.ctx, min(l.o.Heartbeat/4, time.Second)) == nil {
		now := l.Ready()
		if errors.Is(now, errSilent) != errors.Is(before, errSilent) {
			l.noteSilence(now)
		}
		before = now
		l.judge()
		l.noteProgress()
		if l.Ready() == nil && l.Unfit() == nil && l.vacant() {
			end := time.NewTimer(l.o.Heartbeat)
			if err := l.claim(end.C); err != nil {
				l.o.Log.Info("this server could not claim to lead", "err", err)
			}
			end.Stop()
		}
	}
}

// noteSilence logs that the brokers do not answer any more, or answer again.
func (l *Log) noteSilence(why error) {
	if why == nil {
		l.o.Log.Info("the brokers of the log answer again")
	} else if errors.Is(why, errSilent) {
		l.o.Log.Warn("this server takes no commands", "why", why)
	}
}

// vacant reports whether nobody leads, and it is this server's turn to claim
// it: the one with the lowest id first, and the next one if that does not.
func (l *Log) vacant() bool {
	all := l.list()
	g := &l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	now, self := time.Now(), idText(l.origin)
	free := g.whole && (g.lead.mine == 0 || g.lead.mine != g.lead.term)
	before := 0
	for i := range all {
		m := &all[i]
		able := l.fresh(m) && !m.Stopping && m.Unfit == ""
		if m.ID == g.lead.id && m.ID != self && able {
			free = false
		}
		if able && m.ID < self {
			before++
		}
	}
	if !free {
		g.lead.free = time.Time{}
		return false
	}
	if g.lead.free.IsZero() {
		g.lead.free = now
	}
	wait := time.Duration(2*before) * l.o.Heartbeat
	others := len(all) > 1 || g.lead.id != "" && g.lead.id != self
	unheard := others && now.Sub(g.wholeAt) < 3*l.o.Heartbeat // perhaps one of them leads
	if unheard || now.Sub(g.lead.free) < wait || now.Sub(g.lead.asked) < 2*l.o.Heartbeat {
		return false
	}
	g.lead.asked = now
	return true
}

// claim claims leadership, before end.
func (l *Log) claim(end <-chan time.Time) error {
	value, err := json.Marshal(l.ownClaim())
	if err != nil {
		return err
	}
	return l.acknowledge(kindClaim, value, end)
}
