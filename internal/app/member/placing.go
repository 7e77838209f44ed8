package member

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"trackway/internal/control/members"
	"trackway/internal/control/relay"
	"trackway/internal/datadir/held"
	"trackway/internal/partition"
	"trackway/internal/partition/balance"
	"trackway/internal/partition/placement"
	"trackway/internal/sleep"
)

// view is what a server tells of a partition that it holds.
type view struct {
	Part    int
	ID      string // of the server in the partition; empty: its program is older
	Serves  bool   // with all that the others have
	Leading bool
	Term    uint64
	Leader  string // host:port
	Members []viewed
}

type viewed struct {
	ID, Address string
	Voter       bool
}

// Path is the beginning of the paths of what servers ask each other about
// holding partitions.
const Path = "/cluster/"

// Asked answers what other servers ask about holding partitions.
func (m *Member) Asked() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"parts", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(m.views()) // an error means that the other has gone
	})
	mux.HandleFunc("POST "+Path+"turn", func(w http.ResponseWriter, r *http.Request) {
		if err := m.turn.take(r.URL.Query().Get("at"), time.Now()); err != nil {
			relay.Refuse(w, err.Error())
		}
	})
	mux.HandleFunc("POST "+Path+"turn/end", func(_ http.ResponseWriter, r *http.Request) { m.turn.end(r.URL.Query().Get("at")) })
	for path, do := range map[string]func(ctx context.Context, part int, at string, least int) error{
		"hold": m.hold, "drop": m.drop, "lead": m.lead, "expel": m.expel,
	} {
		mux.HandleFunc("POST "+Path+path, func(w http.ResponseWriter, r *http.Request) {
			part, err := strconv.Atoi(r.URL.Query().Get("partition"))
			if err == nil && (part < 0 || part >= m.o.Partitions) {
				err = fmt.Errorf("there is no partition %d", part)
			}
			if err == nil {
				least, _ := strconv.Atoi(r.URL.Query().Get("least")) // without one, any number may be left
				err = do(r.Context(), part, r.URL.Query().Get("at"), least)
			}
			if err != nil {
				relay.Refuse(w, err.Error())
			}
		})
	}
	return mux
}

func (m *Member) views() (all []view) {
	for _, p := range m.parts {
		log := p.raft.Load()
		s := log.Status()
		v := view{Part: p.number, ID: log.ID(), Serves: p.serves.Load(), Leading: s.Leading, Term: s.Term, Leader: s.Leader}
		for _, other := range s.Members {
			v.Members = append(v.Members, viewed{other.ID, other.Address, other.Voter})
		}
		all = append(all, v)
	}
	return all
}

// hold makes this server hold a partition: it opens an empty store at its next
// start, which is under way, and becomes a member.
func (m *Member) hold(_ context.Context, part int, _ string, _ int) error {
	if m.Part(part) != nil {
		return nil
	}
	if err := m.note(func(l *held.List) { l.Join(part) }); err != nil {
		return err
	}
	m.o.Log.Info("this server will hold a partition, and starts again", "partition", part)
	go m.restart() //nolint:gosec,contextcheck // it outlives what has asked for it
	return nil
}

// drop removes the data of a partition of which this server is no member.
func (m *Member) drop(ctx context.Context, part int, _ string, _ int) error {
	p := m.Part(part)
	if p == nil {
		return nil
	}
	log, err := p.overRaft()
	if err != nil {
		return err
	}
	return p.leave(ctx, log)
}

// member returns the id of the server at an address, in a partition that this
// one holds.
func (m *Member) member(part int, at string) (p *Part, id string, err error) {
	if p = m.Part(part); p == nil {
		return nil, "", fmt.Errorf("partition %s is not on %s", partition.Name(part), m.o.Cluster.Advertise)
	}
	for _, other := range p.raft.Load().Status().Members {
		if other.Address == at {
			return p, other.ID, nil
		}
	}
	return p, "", nil
}

// lead has the server at an address lead a partition that this one holds.
func (m *Member) lead(ctx context.Context, part int, at string, _ int) error {
	p, id, err := m.member(part, at)
	if err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("%s is not a member of partition %s", at, partition.Name(part))
	}
	log, err := p.overRaft()
	if err != nil {
		return err
	}
	return log.HandOver(ctx, id)
}

// expel ends the membership of the server at an address in a partition that
// this one holds, unless fewer others than least would keep a vote.
func (m *Member) expel(ctx context.Context, part int, at string, least int) error {
	p, id, err := m.member(part, at)
	if err != nil || id == "" {
		return err
	}
	log, err := p.overRaft()
	if err != nil {
		return err
	}
	return log.Release(ctx, id, least)
}

// cluster is what all servers tell of their partitions, at one moment.
type cluster struct {
	ids   map[string]string // of the members, in the first partition, by address
	at    map[string]string // addresses, by id
	told  map[string][]view // by the addresses of those that have answered
	parts []view            // what the leader of each partition tells; not leading: none was found
}

// survey asks all members.
func (m *Member) survey(ctx context.Context) *cluster {
	c := &cluster{ids: map[string]string{}, at: map[string]string{}, told: map[string][]view{}, parts: make([]view, m.o.Partitions)}
	for _, one := range m.parts[0].raft.Load().Status().Members {
		c.ids[one.Address], c.at[one.ID] = one.ID, one.Address
		if one.Address == m.o.Cluster.Advertise {
			c.told[one.Address] = m.views()
			continue
		}
		var views []view
		if err := m.ask(ctx, c, one.Address, http.MethodGet, "parts", nil, &views); err == nil {
			c.told[one.Address] = views
		}
	}
	for _, views := range c.told {
		for _, v := range views {
			if v.Leading && v.Term >= c.parts[v.Part].Term {
				c.parts[v.Part] = v
			}
		}
	}
	return c
}

// led returns an error if no server that has answered leads a partition.
func (c *cluster) led(part int) error {
	if c.parts[part].Leading {
		return nil
	}
	return fmt.Errorf("no server that answers leads partition %s: see trackway cluster status", partition.Name(part))
}

// stepTime limits how long a server is asked about one thing.
const stepTime = 20 * time.Second

// ask asks the server at an address.
func (m *Member) ask(ctx context.Context, c *cluster, address, method, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://member"+Path+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	h := m.Asked()
	if address != m.o.Cluster.Advertise {
		h = relay.Forward(m.ways.to(m.network, peerTarget(address, c.ids[address])))
	}
	if err := relay.Ask(h, r, into); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

// Plan implements [members.Cluster].
func (m *Member) Plan(ctx context.Context) (p members.Plan, err error) {
	if _, err := m.parts[0].overRaft(); err != nil {
		return p, err
	}
	c := m.survey(ctx)
	p.Steps = c.plan(int(m.o.Cluster.Copies))
	for part := range c.parts {
		if c.led(part) != nil {
			p.Leaderless = append(p.Leaderless, partition.Name(part))
		}
	}
	return p, nil
}

// name returns the id of the member at an address in the first partition, by
// which it is placed. One that was removed has its address instead.
func (c *cluster) name(address string) string { return cmp.Or(c.ids[address], address) }

// plan returns the steps that are left, with addresses. Partitions without a
// leader stay as they are.
func (c *cluster) plan(copies int) (steps []placement.Step) {
	var members []string
	for id := range c.at {
		members = append(members, id)
	}
	slices.Sort(members)
	now := make([]placement.Partition, len(c.parts))
	var groups []balance.Group
	for part := range c.parts {
		v, want := &c.parts[part], placement.Holders(part, members, copies)
		if c.led(part) != nil {
			now[part].Holders = want // nothing to do
			continue
		}
		now[part].Leader = c.name(v.Leader)
		g := balance.Group{Partition: part, Leader: v.Leader}
		for _, one := range v.Members {
			if one.Voter && c.serves(one.Address, part) {
				g.Fit = append(g.Fit, one.Address)
			}
			name := c.name(one.Address)
			if one.Voter && !c.lost(&one, part) || !slices.Contains(want, name) { // else it is on its way
				now[part].Holders = append(now[part].Holders, name)
			}
		}
		groups = append(groups, g)
	}
	for _, s := range placement.Plan(now, members, copies) {
		s.Server = cmp.Or(c.at[s.Server], s.Server)
		steps = append(steps, s)
	}
	if len(steps) > 0 {
		return steps
	}
	for _, move := range balance.Leaders(groups) {
		steps = append(steps, placement.Step{Do: placement.Lead, Part: move.Partition, Server: move.To})
	}
	return steps
}

// lost reports whether a member of a partition is no more: the server at its
// address answers, and has no copy, or one under another id. It has lost its
// log, and gets a copy again.
func (c *cluster) lost(m *viewed, part int) bool {
	views, answers := c.told[m.Address]
	i := slices.IndexFunc(views, func(v view) bool { return v.Part == part })
	return answers && (i < 0 || views[i].ID != "" && views[i].ID != m.ID)
}

// serves reports whether the server at an address serves a partition.
func (c *cluster) serves(address string, part int) bool {
	return slices.ContainsFunc(c.told[address], func(v view) bool { return v.Part == part && v.Serves })
}

// Step implements [members.Cluster]. One server at a time carries out a step,
// so that no plan is mixed with another one.
func (m *Member) Step(ctx context.Context, s placement.Step) error {
	if !m.stepping.TryLock() {
		return fmt.Errorf("%s, at this server: wait until it has ended", members.Busy)
	}
	defer m.stepping.Unlock()
	c := m.survey(ctx)
	if s.Part < 0 || s.Part >= len(c.parts) || c.name(s.Server) == "" {
		return fmt.Errorf("there is no such step: %v", s)
	}
	if err := c.led(s.Part); err != nil {
		return err
	}
	done, err := m.takeTurn(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	leader := c.parts[s.Part].Leader
	query := url.Values{"partition": {strconv.Itoa(s.Part)}, "at": {s.Server}}
	switch s.Do {
	case placement.Add:
		if err := m.ask(ctx, c, s.Server, http.MethodPost, "hold", query, nil); err != nil {
			return err
		}
		return m.until(ctx, func(c *cluster) bool { return c.serves(s.Server, s.Part) && c.votes(s.Server, s.Part) })
	case placement.Lead:
		if err := m.ask(ctx, c, leader, http.MethodPost, "lead", query, nil); err != nil {
			return err
		}
		return m.until(ctx, func(c *cluster) bool { return c.parts[s.Part].Leader == s.Server })
	case placement.Remove:
		return m.removeCopy(ctx, c, s, query)
	}
	return fmt.Errorf("there is no such step: %v", s)
}

// removeCopy removes a copy of a partition. All other servers that should hold
// it must serve it.
func (m *Member) removeCopy(ctx context.Context, c *cluster, s placement.Step, query url.Values) error {
	v, left := &c.parts[s.Part], 0
	for _, one := range v.Members {
		if one.Address == s.Server {
			continue
		}
		if !one.Voter || !c.serves(one.Address, s.Part) {
			return fmt.Errorf("%s has no copy of partition %s that is up to date and votes, so none is removed: start that server, or remove it (trackway cluster remove)",
				one.Address, partition.Name(s.Part))
		}
		left++
	}
	if left == 0 || v.Leader == s.Server {
		return errors.New("the leader's copy is not removed: another server has to lead first")
	}
	// The leader counts again: it may have removed another one meanwhile.
	query.Set("least", strconv.Itoa(min(int(m.o.Cluster.Copies), len(c.ids))))
	if err := m.ask(ctx, c, v.Leader, http.MethodPost, "expel", query, nil); err != nil {
		return err
	}
	if c.ids[s.Server] == "" || c.told[s.Server] == nil {
		return nil // it is lost, or finds out when it starts
	}
	if err := m.ask(ctx, c, s.Server, http.MethodPost, "drop", query, nil); err != nil {
		return err
	}
	return m.until(ctx, func(c *cluster) bool {
		return c.told[s.Server] != nil && !slices.ContainsFunc(c.told[s.Server], func(v view) bool { return v.Part == s.Part })
	})
}

// votes reports whether the server at an address votes in a partition.
func (c *cluster) votes(address string, part int) bool {
	return slices.ContainsFunc(c.parts[part].Members, func(one viewed) bool { return one.Address == address && one.Voter })
}

// until waits until all servers together are as they should be.
func (m *Member) until(ctx context.Context, is func(*cluster) bool) error {
	for {
		if is(m.survey(ctx)) {
			return nil
		}
		if err := sleep.For(ctx, lookPause); err != nil {
			return err
		}
	}
}

// removeElsewhere ends the membership of the server at an address in the
// partitions that this one does not hold. It returns what has failed.
func (m *Member) removeElsewhere(ctx context.Context, address string) (failed several) {
	c := m.survey(ctx)
	for part := range c.parts {
		v := &c.parts[part]
		if m.Part(part) != nil {
			continue
		}
		if err := c.led(part); err != nil {
			failed = append(failed, err)
			continue
		}
		if !slices.ContainsFunc(v.Members, func(one viewed) bool { return one.Address == address }) {
			continue
		}
		query := url.Values{"partition": {strconv.Itoa(part)}, "at": {address}}
		if err := m.ask(ctx, c, v.Leader, http.MethodPost, "expel", query, nil); err != nil {
			failed = append(failed, fmt.Errorf("partition %s: %w", partition.Name(part), err))
		}
	}
	return failed
}
