package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/control"
)

// input is what a command reads.
type input struct{ stdin io.Reader }

// operating is the flags of every command that works on a data directory, whether a server runs on it or not.
type operating struct {
	configFile

	DataDir string `env:"TRACKWAY_DATA" help:"Where everything is stored, if the configuration does not say." name:"data" placeholder:"DIR"`
}

// projectFlag is the flag of the commands that are about one project.
type projectFlag struct {
	Project string `help:"Its name or token; not needed where there is only one." placeholder:"PROJECT"`
}

// until returns a context that a first signal to end ends. A second one ends the process.
func until() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// with calls do with a client of the server that uses the data directory. Where none runs, what commands need of one runs in this
// process meanwhile, so that do finds no difference. A data directory that is not there is made only if create is set.
func (o *operating) with(ctx context.Context, out output, create bool, do func(*http.Client) error) error {
	cfg, client, err := o.running(ctx)
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

// running returns a client of the server that uses the data directory. Errors: [control.ErrNobody], which comes with the
// configuration.
func (o *operating) running(ctx context.Context) (*config.Config, *http.Client, error) {
	cfg, _, err := loadConfig(o.Config, settings{DataDir: o.DataDir})
	if err != nil {
		return nil, nil, err
	}
	conn, err := control.Dial(ctx, cfg.DataDir)
	if err != nil {
		return cfg, nil, err
	}
	return cfg, control.Client(cfg.DataDir), conn.Close() // it was to see whether somebody is there
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

type backupCommand struct {
	operating

	Dir  string `arg:"" help:"Directory of backups; made if it is not there. Best on another disk." placeholder:"DIR"`
	Keep int    `default:"3" help:"Backups to keep there, this one included; older ones are removed (${default})." placeholder:"N"`
}

// Run backs up the running server, or the data of one that is stopped.
func (c *backupCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	return c.with(ctx, out, false, func(client *http.Client) error {
		query := url.Values{"dir": {dir}, "keep": {strconv.Itoa(c.Keep)}}
		answer, err := call(ctx, client, http.MethodPost, "/backup", query, nil, 0)
		if err != nil {
			return err
		}
		defer answer.Close()
		var b control.Backup
		if err := json.NewDecoder(answer).Decode(&b); err != nil {
			return fmt.Errorf("the server's answer was cut off: %w", err)
		}
		say(out.stdout, "Backed up to %s: everything up to event %d, %s in %d files (%d written, the others shared). Backups there: %d.\n",
			b.Path, b.Seq, size(b.Bytes), b.Files, b.Copied, b.Generations)
		say(out.stdout, "The configuration is not in it, for it holds secrets: keep %s elsewhere.\n", c.Config)
		return nil
	})
}

type restoreCommand struct {
	operating

	Backup string `arg:"" help:"A directory of backups, of which the newest is taken, or one backup in it." placeholder:"DIR"`
}

// Run makes a data directory of a backup. With --data it needs no configuration.
func (c *restoreCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	dir := c.DataDir
	if dir == "" {
		cfg, _, err := loadConfig(c.Config, settings{})
		if err != nil {
			return fmt.Errorf("%w; or say by --data where to", err)
		}
		dir = cfg.DataDir
	}
	b, err := app.Restore(ctx, c.Backup, dir)
	if err != nil {
		return err
	}
	say(out.stdout, "Restored %s of %s to %s: everything up to event %d, %s. All of it was read and found whole.\n",
		b.Path, b.At.Local().Format("2006-01-02 15:04:05"), dir, b.Seq, size(b.Bytes))
	return nil
}
