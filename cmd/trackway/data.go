package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/control"
)

// input is what a command reads.
type input struct{ stdin io.Reader }

// dataFlags are the flags of every command that works on a data directory,
// whether a server runs on it or not.
type dataFlags struct {
	configFile

	DataDir string `env:"TRACKWAY_DATA" help:"Where everything is stored, if the configuration does not say." name:"data" placeholder:"DIR"`
}

// projectFlag is the flag of the commands that are about one project.
type projectFlag struct {
	Project string `help:"Its name or token; not needed if there is only one." placeholder:"PROJECT"`
}

// until returns a context that ends with the first signal to end. A second
// signal ends the process.
func until() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// with calls do with a client of the server that uses the data directory. If no
// server runs, the part of it that commands need runs in this process meanwhile,
// so that do finds no difference. A data directory that is not there is made
// only if create is set.
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
	if err := belongs(cfg.DataDir, os.Geteuid()); err != nil {
		return err
	}
	return alone(ctx, cfg, out, do)
}

// running returns a client of the server that uses the data directory. Errors:
// [control.ErrNobody], which comes with the configuration.
func (d *dataFlags) running(ctx context.Context) (*config.Config, *http.Client, error) {
	cfg, _, err := loadConfig(d.Config, settings{DataDir: d.DataDir})
	if err != nil {
		return nil, nil, err
	}
	conn, err := control.Dial(ctx, cfg.DataDir)
	if err != nil {
		return cfg, nil, err
	}
	return cfg, control.Client(cfg.DataDir), conn.Close() // it was to see whether a server is there
}

// alone calls do with a server of its own, which serves nobody else.
func alone(ctx context.Context, cfg *config.Config, out output, do func(*http.Client) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // do ends first
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

// call sends a request, with a body of so many bytes, to a control socket and
// returns the body of the answer, which is read as it comes.
func call(ctx context.Context, client *http.Client, method, route string, query url.Values, body io.Reader, length int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://trackway"+route+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	res, err := client.Do(req)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("the server does not answer: %w", inner.Err)
	} else if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the server refuses: %s", reasonIn(text))
}
