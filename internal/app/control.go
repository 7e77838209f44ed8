package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/ingest"
	"trackway/internal/listen"
	"trackway/internal/partition/saving"
	"trackway/internal/rates"
	"trackway/internal/store"
	"trackway/internal/suspect"
)

// Control runs the part of a server that the operator's commands need, the
// store and the control socket, until ctx ends. It calls ready once the socket
// accepts connections. If a server uses the data directory, the error wraps
// [store.ErrInUse] with an explanation.
func Control(ctx context.Context, cfg *config.Config, log *slog.Logger, ready func()) (err error) {
	reg := newRegistry()
	s := &server{Setup: Setup{Config: cfg, Log: log}, audit: newAudit(cfg, log)}
	if cfg.Cluster.Member() {
		return errMember
	}
	if err := s.openStore(ctx, reg, nil); errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w; it does not answer at %s: it may be starting or stopping, or it is an older version",
			err, filepath.Join(cfg.DataDir, control.SocketName))
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	p, err := s.prepare(cfg)
	if err != nil {
		return err
	}
	if err := s.newDestinations(); err != nil {
		return err
	}
	s.setProjects(p.projects)
	known, _, err := s.destinations.Reload(cfg.Destinations, p.projects)
	if err != nil {
		return err
	}
	known() // to be paused, rewound and so on; none is started
	s.keepContracts(reg, p.projects)
	s.ingest = ingest.New(s.taking(), s.contracts, reg)
	s.suspects = suspect.New(s.ingest, s.store, log, reg)
	s.traffic = newTraffic(cfg, log)
	s.catalogue = s.newCatalogue(p.projects) // as the last server left it
	if s.alarms, err = s.newAlarms(reg, p.projects, rates.New(time.Now())); err != nil {
		return err
	}
	socket, err := s.listenControl(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(socket.Serve)
	g.Go(func() error {
		<-ctx.Done()
		return socket.Drain() //nolint:contextcheck // ctx has ended; draining has its own timeout
	})
	ready()
	return g.Wait()
}

// errMember is why nothing can be done to a member's data while it is down: the
// other servers would not know of it.
var errMember = errors.New("this server is a member of a cluster, and its data is only there while it runs: start it first")

// listenControl listens on the control socket. Its requests have no time limit;
// a stop ends those that stream. REQUIRES: the store is open. Its lock keeps
// other servers away from the socket.
func (s *server) listenControl(ctx context.Context) (*listen.Listener, error) {
	ln, err := control.Listen(ctx, s.Config.DataDir)
	if err != nil {
		return nil, err
	}
	l := listen.Patient(ctx, ln, s.operatorBounds(), s.Log)
	c := control.Config{
		Ingest: s.ingest, Store: s.store, Name: s.store.Name(), Log: func(project uint32) control.Log { return s.store.FeedOf(project) }, Projects: s.projects, Save: s.backup,
		Flush: s.traffic.Flush, Logger: s.Log, Destinations: s.destinations,
		Verify: s.verify, Suggest: s.suggest, Mirrors: s.mirrors, Alarms: s.alarms, Cluster: s.cluster(), Catalogue: s.catalogue.Types, Suspects: s.suspects, Contracts: s.trials,
		Audit: s.audit,
	}
	if s.dashboard != nil {
		c.ReloadUsers, c.Sessions, c.SignOut = s.reloadUsers, s.dashboard.Sessions, s.dashboard.SignOut
	}
	if s.member != nil {
		c.Elsewhere, c.Latest = s.elsewhere(), s.awaitLatest
	}
	handler := control.Handler(c) //nolint:contextcheck // each call has its own
	if s.member == nil {
		l.Handle(handler)
	} else {
		s.controlled.Store(&handler)
		l.Handle(s.relayed(ctx, handler))
	}
	return l, nil
}

// projects returns the projects in force, with their numbers.
func (s *server) projects() ([]trackway.Project, error) { return slices.Clone(*s.sent.Load()), nil }

// backup backs up all data, and the files beside it.
func (s *server) backup(ctx context.Context, dir string, keep int, held bool) (control.Backup, error) {
	made, err := s.saving().Make(ctx, dir, time.Now(), keep, held)
	if err != nil {
		return control.Backup{}, err
	}
	return described(dir, &made), nil
}

// saving returns what makes backups.
func (s *server) saving() *saving.Maker {
	m := &saving.Maker{Stores: s.store, DataDir: s.Config.DataDir}
	if s.member != nil {
		m.Holders, m.Latest, m.Server = s.member.HoldersOf, s.member.Latest, s.member.ID()
	}
	return m
}

// described describes a backup of all partitions. The first one is in each.
func described(dir string, made *saving.Made) control.Backup {
	first := &made.Parts[0]
	b := control.Backup{Path: first.Path, At: first.At, Generations: first.Generations, Unsure: made.Unsure}
	if len(made.Parts) > 1 {
		b.Path = filepath.Join(dir, filepath.Base(b.Path))
	}
	for part := range made.Parts {
		of := &made.Parts[part]
		b.Bytes, b.Files, b.Kept, b.Linked, b.Copied = b.Bytes+of.Bytes, b.Files+of.Files, b.Kept+of.Kept, b.Linked+of.Linked, b.Copied+of.Copied
		switch {
		case len(made.Parts) == 1:
			b.Seq = of.Seq
		case of.Path == "":
			b.Left = append(b.Left, part)
			fallthrough
		default:
			b.Seqs = append(b.Seqs, of.Seq)
		}
	}
	return b
}
