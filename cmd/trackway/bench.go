package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/load"
)

type benchCommand struct {
	serverFlags

	URL         string        `help:"Address of the server (from the configuration)." name:"url" placeholder:"URL"`
	Rate        float64       `help:"Requests a second, however fast the server answers. 0: each connection sends as soon as it has an answer." placeholder:"N"`
	Connections int           `default:"64" help:"Requests under way at once (${default})." placeholder:"N"`
	Duration    time.Duration `default:"10s" help:"How long to run (${default})." placeholder:"TIME"`
	Mix         string        `default:"single" help:"Kinds of request by weight: single=8,batch=1,merge=1 (${default})." placeholder:"MIX"`
	Batch       int           `default:"50" help:"Events in a batch (${default})." placeholder:"N"`
	Customers   int           `default:"100" help:"How many customers the events belong to (${default})." placeholder:"N"`
	Bytes       int           `default:"300" help:"Bytes of text in each event (${default})." placeholder:"N"`
	Addresses   int           `default:"10000" help:"How many client addresses to simulate with a proxy's header (${default})." placeholder:"N"`
	JSON        bool          `help:"Print the figures as JSON." name:"json"`
	Yes         bool          `help:"Allow a server on another machine."`
}

// errPromise ends a run that finds a broken promise.
var errPromise = errors.New("the server does not store what it has acknowledged")

// Run loads the server, prints the figures, and checks them. The first Ctrl-C
// ends the load; the second ends the program.
func (c *benchCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.bench(ctx, out)
}

func (c *benchCommand) bench(ctx context.Context, out output) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	defer plan.Client.CloseIdleConnections()
	if !c.Yes && !isLoopback(plan.URL) {
		return fmt.Errorf("%s is not this machine, and the load may keep its other clients from being served; use --yes to do it anyway", plan.URL)
	}
	if err := plan.Reach(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stderr, "trackway: %d customers (bench-%s-…) and all events (type %s) of this run stay in the project %s.\n",
		plan.Customers, plan.Name, load.EventType, plan.Project)
	if err != nil {
		return err
	}
	run := load.New(plan)
	run.Load(ctx)
	report := run.Report()
	if ctx.Err() == nil {
		if report.Verified, err = run.Verify(ctx); err != nil && ctx.Err() == nil {
			return errors.Join(c.print(out, report), err)
		}
	}
	if err := c.print(out, report); err != nil {
		return err
	}
	switch {
	case report.Verified != nil && !report.Verified.Sound():
		return errPromise
	case report.Acked == 0 && ctx.Err() == nil:
		return errors.New("no request was acknowledged")
	}
	return nil
}

func (c *benchCommand) print(out output, report *load.Report) error {
	if !c.JSON {
		_, err := fmt.Fprint(out.stdout, report)
		return err
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return printJSON(out.stdout, text)
}

func (c *benchCommand) plan() (p load.Plan, err error) {
	if err := c.check(); err != nil {
		return p, err
	}
	mix, err := load.ParseMix(c.Mix)
	if err != nil {
		return p, err
	}
	secret, err := c.secret()
	if err != nil {
		return p, err
	}
	cfg, key, err := config.LoadForOperator(c.Config, config.Flags{Listen: c.Listen, DataDir: c.DataDir}, secret)
	if err != nil {
		return p, err
	}
	client, base, err := connect(cfg)
	if err != nil {
		return p, err
	}
	if t, ok := client.Transport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost, t.MaxConnsPerHost, t.DisableCompression = c.Connections, c.Connections, true
	}
	token, track, read, err := credentials(cfg, key)
	if err != nil {
		return p, err
	}
	return load.Plan{
		Client: client, URL: strings.TrimRight(cmp.Or(c.URL, base), "/"), Project: token, Track: track, Read: read,
		Rate: c.Rate, Connections: c.Connections, Duration: c.Duration, Mix: mix, BatchSize: c.Batch, Customers: c.Customers,
		Bytes: c.Bytes, Addresses: c.Addresses, Header: cfg.ClientIPHeader, Name: strings.ToLower(rand.Text()[:8]),
	}, nil
}

// check refuses options that make no sense.
func (c *benchCommand) check() error {
	const (
		mostText         = 15 << 10
		slowest, fastest = 0.001, 1e6
	)
	switch {
	case c.Rate != 0 && !(c.Rate >= slowest && c.Rate <= fastest): // false for NaN
		return fmt.Errorf("--rate must be 0, or %g to %g", slowest, fastest)
	case c.Connections < 1 || c.Customers < 1 || c.Duration <= 0 || c.Addresses < 0:
		return errors.New("--connections, --customers and --duration must be more than 0, and --addresses must not be negative")
	case c.Batch < 1 || c.Batch > trackway.MaxCommands:
		return fmt.Errorf("--batch must be 1 to %d", trackway.MaxCommands)
	case c.Bytes < 0 || c.Bytes > mostText:
		return fmt.Errorf("--bytes must be 0 to %d", mostText)
	}
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("--url must be an address such as http://127.0.0.1:8080")
		}
	}
	return nil
}

// credentials returns the token of a private key's project, and the credentials
// for sending and for reading. The events are sent with a public key, as
// clients do, if the project has one that may send them. Otherwise they are
// sent with the private key.
func credentials(cfg *config.Config, key config.PrivateKey) (token, track, read string, err error) {
	read = "Basic " + base64.StdEncoding.EncodeToString([]byte(key.ID+":"+key.Secret))
	for _, p := range cfg.Projects {
		mine := slices.IndexFunc(p.Keys, func(k trackway.Key) bool { return k.Kind == trackway.PrivateKey && k.ID == key.ID })
		if mine < 0 {
			continue
		}
		token = p.Token
		if !p.Keys[mine].MayName(trackway.GetEvents, load.EventType) {
			return "", "", "", fmt.Errorf("the private key %q may not read events of the type %q, so nothing could be verified: it needs events:get",
				p.Keys[mine].Name, load.EventType)
		}
		public := slices.IndexFunc(p.Keys, func(k trackway.Key) bool {
			return k.Kind == trackway.PublicKey && k.MayName(trackway.SetEvents, load.EventType)
		})
		switch {
		case public >= 0:
			track = "Token " + p.Keys[public].ID
		case p.Keys[mine].MayName(trackway.SetEvents, load.EventType):
			track = read
		default:
			return "", "", "", fmt.Errorf("no public key of the project %q, nor the private key %q, may send events of the type %q: one needs events:set",
				p.Name, p.Keys[mine].Name, load.EventType)
		}
	}
	return token, track, read, nil
}

// isLoopback reports whether a URL leads to this machine.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.Unmap().IsLoopback()
}
