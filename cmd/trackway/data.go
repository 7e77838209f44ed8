package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/datadir"
)

// input is the source that a command reads.
type input struct{ stdin io.Reader }

// dataFlags are the flags of every command that works on a data directory, with
// or without a running server.
type dataFlags struct {
	configFile

	DataDir string `env:"TRACKWAY_DATA" help:"Data directory; overrides the configuration." name:"data" placeholder:"DIR"`
}

// projectFlag is the flag of the commands that concern one project.
type projectFlag struct {
	Project string `help:"Name or token of the project; not needed if there is only one." placeholder:"PROJECT"`
}

// until returns a context that the first interrupt or termination signal ends.
// A second signal ends the process.
func until() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// with calls do with a client of the server that uses the data directory. If no
// server is running, with runs the necessary part of one in this process, so
// that do sees no difference. It creates a missing data directory only if
// create is set.
func (d *dataFlags) with(ctx context.Context, out output, create bool, do func(*http.Client) error) error {
	cfg, client, err := d.running(ctx)
	switch {
	case err == nil:
		return do(client)
	case !errors.Is(err, control.ErrNobody):
		return err
	}
	if _, err := os.Stat(cfg.DataDir); err != nil && !create {
		return fmt.Errorf("there is no data: %w", err)
	}
	if err := datadir.Belongs(cfg.DataDir, os.Geteuid()); err != nil {
		return err
	}
	return alone(ctx, cfg, out, do)
}

// running returns a client of the server that uses the data directory. If there
// is no server, the error is [control.ErrNobody], and the configuration is
// returned all the same.
func (d *dataFlags) running(ctx context.Context) (*config.Config, *http.Client, error) {
	// The command only has to find the server. It does not need what only the
	// server has, such as environment variables.
	cfg, err := config.LoadElsewhere(d.Config, config.Flags{DataDir: d.DataDir}, app.CheckLimits)
	if err != nil {
		return nil, nil, err
	}
	conn, err := control.Dial(ctx, cfg.DataDir)
	if err != nil {
		whole, _, broken := loadConfig(d.Config, settings{DataDir: d.DataDir})
		if broken != nil {
			return nil, nil, broken
		}
		return whole, nil, err
	}
	return cfg, control.Client(cfg.DataDir), conn.Close() // it was only to see whether a server is there
}

// alone calls do with a server that exists for this call only.
func alone(ctx context.Context, cfg *config.Config, out output, do func(*http.Client) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // do ends before the server does
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	log := cfg.Log.Logger(out.stderr, cfg.Log.SlogLevel())
	go func() { ended <- app.Control(serving, cfg, log, func() { close(ready) }) }()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	err := do(control.Client(cfg.DataDir))
	stop()
	return errors.Join(err, <-ended)
}
