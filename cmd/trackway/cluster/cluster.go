// Package cluster has the commands of trackway cluster. They ask the running
// server, which knows the others.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"trackway/cmd/trackway/command"
	"trackway/internal/control"
	"trackway/internal/control/members"
	"trackway/internal/partition"
	"trackway/internal/sleep"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	Init      initCommand      `cmd:"" help:"Begin a cluster, with the server of this configuration as its only member."`
	Join      joinCommand      `cmd:"" help:"Make the server of this configuration a member of an existing cluster."`
	Status    statusCommand    `cmd:"" help:"Show the members, the leader, and what this server lacks."`
	Transfer  transferCommand  `cmd:"" help:"Make the leader hand leadership over, for example before it is stopped."`
	Rebalance rebalanceCommand `cmd:"" help:"Make each server lead about as many partitions as the others."`
	Remove    removeCommand    `cmd:"" help:"Remove a member for good, for example one whose disk is lost."`
	Recover   recoverCommand   `cmd:"" help:"Make this server the only member, after most members were lost for good."`
}

// flags are the flags of each command. The server of the configuration must be
// running.
type flags struct {
	command.Flags
}

// ask asks the running server.
func (f *flags) ask(ctx context.Context, t command.Tools, method, route string, query url.Values, into any) error {
	err := f.Ask(ctx, t, method, route, query, into)
	if errors.Is(err, control.ErrNobody) {
		return fmt.Errorf("%w: start it with trackway serve; it waits until it is a member", err)
	}
	return err
}

// do asks the running server to do something.
func (f *flags) do(ctx context.Context, t command.Tools, what string, query url.Values) error {
	return f.ask(ctx, t, http.MethodPost, "/cluster/"+what, query, nil)
}

func (f *flags) status(ctx context.Context, t command.Tools) (s members.Status, err error) {
	err = f.ask(ctx, t, http.MethodGet, "/cluster", nil, &s)
	return s, err
}

// A command that waits asks again after pollPause. It gives up if so many
// questions in a row, half a minute's, were not answered.
const (
	pollPause     = 200 * time.Millisecond
	maxUnanswered = 150
)

// await waits until the running server accepts requests, with a vote in its
// cluster. Meanwhile it may start again. say gets each reason to wait, once.
func (f *flags) await(ctx context.Context, t command.Tools, say func(string)) (s members.Status, err error) {
	said := ""
	for unanswered := 0; ; {
		s, err := f.status(ctx, t)
		if err == nil && s.Ready == "" && votes(&s) {
			return s, nil
		}
		if err == nil && s.Ready != "" && s.Ready != said {
			said = s.Ready
			say(said)
		}
		if err == nil {
			unanswered = 0
		} else if unanswered++; unanswered > maxUnanswered {
			return s, err
		}
		if err := sleep.For(ctx, pollPause); err != nil {
			return s, err
		}
	}
}

// votes reports whether the server has its vote, in all partitions.
func votes(s *members.Status) bool {
	for i := range s.Partitions {
		if p := &s.Partitions[i]; p.ID != "" && !isVoter(p.ID, p.Members) { // else it is on other servers
			return false
		}
	}
	return isVoter(s.ID, s.Members)
}

func isVoter(id string, all []members.Member) bool {
	for i := range all {
		if all[i].ID == id {
			return all[i].Voter
		}
	}
	return false
}

type initCommand struct {
	flags

	Partitions int `help:"Refuse unless the servers have so many partitions, which is the setting partitions." placeholder:"N"`
}

// Run begins a cluster.
func (c *initCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	if err := c.checkPartitions(ctx, t); err != nil {
		return err
	}
	if err := c.do(ctx, t, "init", nil); err != nil {
		return err
	}
	s, err := c.await(ctx, t, func(string) {})
	if err != nil {
		return err
	}
	if s.Log == "kafka" {
		terminal.Say(t.Stdout, "Cluster %s has begun. The other servers take part by themselves, once they run.\n", s.Name)
		return nil
	}
	terminal.Say(t.Stdout, "Cluster %s has begun. The other servers join it by: trackway cluster join %s\n", s.Name, s.Address)
	return nil
}

// checkPartitions compares the number that the operator expects with that of
// the running server.
func (c *initCommand) checkPartitions(ctx context.Context, t command.Tools) error {
	if c.Partitions == 0 {
		return nil
	}
	s, err := c.status(ctx, t)
	if err != nil {
		return err
	}
	if n := max(len(s.Partitions), 1); n != c.Partitions {
		return fmt.Errorf("this server runs with partitions: %d. Set partitions: %d in the configuration of all servers, start them with empty data directories, and try again", n, c.Partitions)
	}
	return nil
}

type joinCommand struct {
	flags

	Address string `arg:"" help:"HOST:PORT of a member (those of cluster.peers)." optional:"" placeholder:"HOST:PORT"`
}

// Run joins a cluster. It returns when the server has its vote.
func (c *joinCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	if err := c.do(ctx, t, "join", url.Values{"at": {c.Address}}); err != nil {
		return err
	}
	s, err := c.await(ctx, t, func(why string) { terminal.Say(t.Stderr, "Waiting: %s.\n", why) })
	if err != nil {
		return err
	}
	terminal.Say(t.Stdout, "This server is a member of cluster %s, which has %d.\n", s.Name, len(s.Members))
	return nil
}

type statusCommand struct {
	flags

	JSON bool `help:"Print JSON." name:"json"`
}

// Run shows what the server knows of its cluster.
func (c *statusCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	s, err := c.status(ctx, t)
	if err != nil {
		return err
	}
	if c.JSON {
		return t.Print(t.Stdout, s)
	}
	return printStatus(t.Stdout, &s)
}

// summary says how far a server is.
func summary(s *members.Status) string {
	if n := len(s.Partitions); n > 0 && s.Log == "kafka" {
		return fmt.Sprintf("Cluster %s, in Kafka, with %d partitions.", s.Name, n) + durability(s)
	} else if n > 0 {
		return fmt.Sprintf("Cluster %s, with %d partitions.", s.Name, n)
	}
	contact := "it leads"
	if !s.Leading {
		contact = fmt.Sprintf("it heard the leader %v ago", time.Duration(s.ContactMS)*time.Millisecond)
	}
	if s.Log != "kafka" {
		return fmt.Sprintf("Cluster %s, term %d. This server has applied entry %d of %d that most servers have; %s.", s.Name, s.Term, s.Applied, s.Commit, contact)
	}
	if s.Leader == "" {
		contact = "no server leads"
	}
	return fmt.Sprintf("Cluster %s, in Kafka, term %d. This server has applied entry %d of %d in the topic; %s.", s.Name, s.Term, s.Applied, s.Last, contact) + durability(s)
}

// durability says what an acknowledgement means, if that is known.
func durability(s *members.Status) string {
	if s.Durability == "" {
		return ""
	}
	return "\nWhat is acknowledged is " + s.Durability + "."
}

func printStatus(w io.Writer, s *members.Status) error {
	if s.Ready != "" {
		terminal.Say(w, "This server accepts no requests: %s.\n", s.Ready)
	}
	if len(s.Members) == 0 {
		return nil
	}
	terminal.Say(w, "%s\n\n", summary(s))
	if s.Trouble != "" {
		terminal.Say(w, "%s\n\n", s.Trouble)
	}
	if len(s.Partitions) > 0 {
		return printPartitions(w, s)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ADDRESS\tROLE\tBEHIND\tCLOCK\tID\t") // errors come with Flush
	for i := range s.Members {
		m := &s.Members[i]
		role, self, clock := "votes", note(m, s.ID), "?"
		if s.Log == "kafka" {
			role, clock = "follows", "-"
		}
		if m.OffsetMS != nil {
			clock = fmt.Sprintf("%+.3fs", (time.Duration(*m.OffsetMS) * time.Millisecond).Seconds())
		}
		if !m.Voter {
			role = "receives the log, has no vote yet"
		}
		if m.Address == s.Leader {
			role = "leads"
		}
		if m.ID == s.ID {
			clock = "-"
		}
		behind := "-"
		if m.Heard != nil {
			behind = strconv.FormatUint(m.Behind, 10)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Address, role, behind, clock, m.ID, self)
	}
	return table.Flush()
}

// note says what is special about a member.
func note(m *members.Member, self string) string {
	switch {
	case m.ID == self:
		return "this server"
	case m.Silent && m.Heard == nil:
		return "does not answer"
	case m.Silent:
		return "silent since " + m.Heard.UTC().Format(time.RFC3339)
	}
	return ""
}

// printPartitions prints a row for each partition, and one for each member.
func printPartitions(w io.Writer, s *members.Status) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "PARTITION\tLEADER\tTERM\tAPPLIED\tCOMMITTED\tBEHIND\t") // errors come with Flush
	for i := range s.Partitions {
		p := &s.Partitions[i]
		var most uint64
		for j := range p.Members {
			most = max(most, p.Members[j].Behind)
		}
		leader := p.Leader
		if leader == "" {
			leader = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t\n", partition.Name(p.Number), leader, p.Term, p.Applied, p.Commit, most)
	}
	takes, unknown := "VOTES", "?"
	if s.Log == "kafka" { // there are no votes, and clocks are compared with those of the brokers
		takes, unknown = "HAS", "-"
	}
	_, _ = fmt.Fprintf(table, "\nADDRESS\tLEADS\t%s\tHOLDS\tCLOCK\tID\t\n", takes)
	for _, m := range membersOf(s) {
		clock := unknown
		if m.OffsetMS != nil {
			clock = fmt.Sprintf("%+.3fs", (time.Duration(*m.OffsetMS) * time.Millisecond).Seconds())
		}
		if m.ID == s.ID {
			clock = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", m.Address, m.leads, m.votes, m.list(), clock, m.ID, note(&m.Member, s.ID))
	}
	return table.Flush()
}

// server is a member, and in how many partitions it leads and votes. Its id is
// that in the first one that it is in.
type server struct {
	members.Member

	leads, votes int
	holds        []string
	all          bool
}

// list returns the partitions that the server holds.
func (s *server) list() string {
	if s.all {
		return "all"
	}
	return strings.Join(s.holds, " ")
}

// membersOf returns the members of all partitions, by their addresses.
func membersOf(s *members.Status) (all []*server) {
	at := make(map[string]*server)
	for i := range s.Partitions {
		p := &s.Partitions[i]
		for _, m := range p.Members {
			known := at[m.Address]
			if known == nil {
				known = &server{Member: m}
				at[m.Address], all = known, append(all, known)
			}
			if m.Voter {
				known.votes++
			}
			known.holds = append(known.holds, partition.Name(p.Number))
			known.all = len(known.holds) == len(s.Partitions)
			if m.Address == p.Leader {
				known.leads++
			}
		}
	}
	return all
}

type transferCommand struct {
	flags

	Partition int `default:"-1" help:"Only of the partition with this number."`
}

// Run hands leadership over.
func (c *transferCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	query := url.Values{}
	if c.Partition >= 0 {
		query.Set("partition", strconv.Itoa(c.Partition))
	}
	if err := c.do(ctx, t, "transfer", query); err != nil {
		return err
	}
	terminal.Say(t.Stdout, "The leader has handed leadership over.\n")
	return nil
}

type removeCommand struct {
	flags

	Server string `arg:"" help:"Address or ID of the member, as cluster status shows it." placeholder:"SERVER"`
}

// Run removes a member.
func (c *removeCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	s, err := c.status(ctx, t)
	if err != nil {
		return err
	}
	for _, m := range s.Members {
		if m.ID != c.Server && m.Address != c.Server {
			continue
		}
		if err := c.do(ctx, t, "remove", url.Values{"id": {m.ID}}); err != nil {
			return err
		}
		for i := range s.Partitions {
			p := &s.Partitions[i]
			if slices.ContainsFunc(p.Members, func(one members.Member) bool { return one.Address == m.Address }) && p.Number > 0 {
				terminal.Say(t.Stdout, "Partition %s has %d copies left: trackway cluster rebalance makes others, if there are servers for them.\n", partition.Name(p.Number), len(p.Members)-1)
			}
		}
		terminal.Say(t.Stdout, "%s is no member any more. Its data is of no use to the cluster: remove its data directory before it joins again.\n", m.Address)
		return nil
	}
	return fmt.Errorf("no member has the address or ID %q: see trackway cluster status", c.Server)
}

type recoverCommand struct {
	flags

	Lost bool `help:"The other members are lost for good, and will not come back with their old data." name:"others-are-lost"`
}

// Run makes the server the only member.
func (c *recoverCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	if !c.Lost {
		return errors.New("this makes the server the only member, with what it has; if other members are still there, there are two clusters afterwards. If they are lost for good, add --others-are-lost")
	}
	if err := c.do(ctx, t, "recover", nil); err != nil {
		return err
	}
	s, err := c.await(ctx, t, func(string) {})
	if err != nil {
		return err
	}
	if len(s.Partitions) > 1 {
		terminal.Say(t.Stdout, "This server is the only member of the partitions that it holds and that had no leader. See trackway cluster status, and remove the lost servers.\n")
		return nil
	}
	terminal.Say(t.Stdout, "This server is the only member of cluster %s. Other servers can join it, with empty data directories.\n", s.Name)
	return nil
}
