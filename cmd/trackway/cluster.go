package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"trackway/internal/control"
	"trackway/internal/sleep"
	"trackway/internal/terminal"
)

type clusterCommand struct {
	Init     clusterInitCommand     `cmd:"" help:"Begin a cluster, with the server of this configuration as its only member."`
	Join     clusterJoinCommand     `cmd:"" help:"Make the server of this configuration a member of an existing cluster."`
	Status   clusterStatusCommand   `cmd:"" help:"Show the members, the leader, and what this server lacks."`
	Transfer clusterTransferCommand `cmd:"" help:"Make the leader hand leadership over, for example before it is stopped."`
	Remove   clusterRemoveCommand   `cmd:"" help:"Remove a member for good, for example one whose disk is lost."`
	Recover  clusterRecoverCommand  `cmd:"" help:"Make this server the only member, after most members were lost for good."`
}

// clusterFlags are the flags of every command about a cluster. The server of
// the configuration must be running.
type clusterFlags struct{ dataFlags }

// server returns a client of the running server.
func (c *clusterFlags) server(ctx context.Context) (*http.Client, error) {
	_, client, err := c.running(ctx)
	if errors.Is(err, control.ErrNobody) {
		return nil, fmt.Errorf("%w: start it with trackway serve; it waits until it is a member", err)
	}
	return client, err
}

// do asks the running server to do something.
func (c *clusterFlags) do(ctx context.Context, what string, query url.Values) error {
	client, err := c.server(ctx)
	if err != nil {
		return err
	}
	return get(ctx, client, http.MethodPost, "/cluster/"+what, query, nil)
}

func clusterStatus(ctx context.Context, client *http.Client) (s control.ClusterStatus, err error) {
	return s, get(ctx, client, http.MethodGet, "/cluster", nil, &s)
}

// A command that waits asks again after pollPause. It gives up if so many
// questions in a row, half a minute's, were not answered.
const (
	pollPause     = 200 * time.Millisecond
	maxUnanswered = 150
)

// await waits until the running server accepts requests, with a vote in its
// cluster. Meanwhile it may start again. say gets each reason to wait, once.
func (c *clusterFlags) await(ctx context.Context, say func(string)) (s control.ClusterStatus, err error) {
	said := ""
	for unanswered := 0; ; {
		client, err := c.server(ctx)
		if err == nil {
			s, err = clusterStatus(ctx, client)
		}
		if err == nil && s.Ready == "" && isVoter(&s) {
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

func isVoter(s *control.ClusterStatus) bool {
	for _, m := range s.Members {
		if m.ID == s.ID {
			return m.Voter
		}
	}
	return false
}

type clusterInitCommand struct{ clusterFlags }

// Run begins a cluster.
func (c *clusterInitCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	if err := c.do(ctx, "init", nil); err != nil {
		return err
	}
	s, err := c.await(ctx, func(string) {})
	if err != nil {
		return err
	}
	terminal.Say(out.stdout, "Cluster %s has begun. The other servers join it by: trackway cluster join %s\n", s.Name, s.Address)
	return nil
}

type clusterJoinCommand struct {
	clusterFlags

	Address string `arg:"" help:"HOST:PORT of a member (those of cluster.peers)." optional:"" placeholder:"HOST:PORT"`
}

// Run joins a cluster. It returns when the server has its vote.
func (c *clusterJoinCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	if err := c.do(ctx, "join", url.Values{"at": {c.Address}}); err != nil {
		return err
	}
	s, err := c.await(ctx, func(why string) { terminal.Say(out.stderr, "Waiting: %s.\n", why) })
	if err != nil {
		return err
	}
	terminal.Say(out.stdout, "This server is a member of cluster %s, which has %d.\n", s.Name, len(s.Members))
	return nil
}

type clusterStatusCommand struct {
	clusterFlags

	JSON bool `help:"Print JSON." name:"json"`
}

// Run shows what the server knows of its cluster.
func (c *clusterStatusCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	client, err := c.server(ctx)
	if err != nil {
		return err
	}
	s, err := clusterStatus(ctx, client)
	if err != nil {
		return err
	}
	if c.JSON {
		return printIndented(out.stdout, s)
	}
	return printCluster(out.stdout, &s)
}

func printCluster(w io.Writer, s *control.ClusterStatus) error {
	if s.Ready != "" {
		terminal.Say(w, "This server accepts no requests: %s.\n", s.Ready)
	}
	if len(s.Members) == 0 {
		return nil
	}
	contact := "it leads"
	if !s.Leading {
		contact = fmt.Sprintf("it heard the leader %v ago", time.Duration(s.ContactMS)*time.Millisecond)
	}
	terminal.Say(w, "Cluster %s, term %d. This server has applied entry %d of %d that most servers have; %s.\n\n", s.Name, s.Term, s.Applied, s.Commit, contact)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ADDRESS\tROLE\tID\t") // errors come with Flush
	for _, m := range s.Members {
		role, self := "votes", ""
		if !m.Voter {
			role = "receives the log, has no vote yet"
		}
		if m.Address == s.Leader {
			role = "leads"
		}
		if m.ID == s.ID {
			self = "this server"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", m.Address, role, m.ID, self)
	}
	return t.Flush()
}

type clusterTransferCommand struct{ clusterFlags }

// Run hands leadership over.
func (c *clusterTransferCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	if err := c.do(ctx, "transfer", nil); err != nil {
		return err
	}
	terminal.Say(out.stdout, "The leader has handed leadership over.\n")
	return nil
}

type clusterRemoveCommand struct {
	clusterFlags

	Server string `arg:"" help:"Address or ID of the member, as cluster status shows it." placeholder:"SERVER"`
}

// Run removes a member.
func (c *clusterRemoveCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	client, err := c.server(ctx)
	if err != nil {
		return err
	}
	s, err := clusterStatus(ctx, client)
	if err != nil {
		return err
	}
	for _, m := range s.Members {
		if m.ID != c.Server && m.Address != c.Server {
			continue
		}
		if err := get(ctx, client, http.MethodPost, "/cluster/remove", url.Values{"id": {m.ID}}, nil); err != nil {
			return err
		}
		terminal.Say(out.stdout, "%s is no member any more. Its data is of no use to the cluster: remove its data directory before it joins again.\n", m.Address)
		return nil
	}
	return fmt.Errorf("no member has the address or ID %q: see trackway cluster status", c.Server)
}

type clusterRecoverCommand struct {
	clusterFlags

	Lost bool `help:"The other members are lost for good, and will not come back with their old data." name:"others-are-lost"`
}

// Run makes the server the only member.
func (c *clusterRecoverCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	if !c.Lost {
		return errors.New("this makes the server the only member, with what it has; if other members are still there, there are two clusters afterwards. If they are lost for good, add --others-are-lost")
	}
	if err := c.do(ctx, "recover", nil); err != nil {
		return err
	}
	s, err := c.await(ctx, func(string) {})
	if err != nil {
		return err
	}
	terminal.Say(out.stdout, "This server is the only member of cluster %s. Other servers can join it, with empty data directories.\n", s.Name)
	return nil
}
