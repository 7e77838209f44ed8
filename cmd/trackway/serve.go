package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/config/initial"
	"trackway/internal/config/reach"
	"trackway/internal/systemd"
	"trackway/internal/terminal"
)

// stopTime limits how long a clean stop may take. It is a little less than the
// promised ten seconds, so that the process has ended by then.
const stopTime = 9500 * time.Millisecond

type serveCommand struct {
	configFile
	settings
}

// server is [app.Run], or a test's substitute.
type server func(context.Context, app.Setup) error

// spareProcessors is the number of threads, beyond one for each processor, that
// may run Go code at once. One thread waits for an fsync nearly all the time,
// and the runtime gives its place to another thread only after a while. On two
// processors, one spare thread gives 8 % more events a second.
const spareProcessors = 1

// Run serves until SIGTERM or SIGINT. A second signal does not wait for the
// clean stop. SIGHUP reloads the configuration.
func (c *serveCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	processors := runtime.GOMAXPROCS(0)
	if _, chosen := os.LookupEnv("GOMAXPROCS"); !chosen {
		runtime.GOMAXPROCS(processors + spareProcessors)
	}
	unit := systemd.New(os.Getenv, os.Getpid())
	return c.serve(ctx, out, supervised(func(ctx context.Context, s app.Setup) error {
		s.Processors = processors
		return app.Run(ctx, s)
	}, unit))
}

func (c *serveCommand) serve(ctx context.Context, out output, run server) error {
	cfg, warnings, made, err := c.load(out)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.SlogLevel())
	log := cfg.Log.Logger(out.stderr, level)
	warn(log, warnings)
	if cfg.File == "" && c.Config != config.TextVariable {
		log.Info("there is no configuration file: the environment has the configuration", "file", c.Config)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	build, _ := debug.ReadBuildInfo()
	name, _ := versionOf(version, build)
	var told atomic.Bool
	setup := app.Setup{
		Config: cfg, Version: name, Log: log, Level: level, Hangup: hangup,
		Load: c.again(cfg.File, log),
		Keys: func() (*config.Keys, error) { return config.ReadKeys(c.Config, config.Flags(c.settings)) },
		Change: func(change func(*config.Keys) error, use func() error) (*config.Config, error) {
			return config.Change(c.Config, config.Flags(c.settings), change, use, app.CheckLimits, app.CheckDestinations, app.CheckAlarms)
		},
		Ready: func(public, ops net.Addr) {
			log.Info("ready", "public", public.String(), "ops", ops.String())
			go debug.FreeOSMemory() // what only the start needed
			if made != nil {
				printTrial(out.stdout, public, *made)
				told.Store(true)
			}
		},
	}
	err = await(ctx, func() error { return run(ctx, setup) })
	// The next start finds the configuration, and does not print the password.
	if err != nil && made != nil && !told.Load() {
		printPassword(out.stdout, made.Password)
	}
	return err
}

func printPassword(w io.Writer, password string) {
	terminal.Say(w, "The password for the server's pages is %s; it is printed only now, and only its hash is kept.\n", password)
}

func warn(log *slog.Logger, warnings []config.Problem) {
	for _, w := range warnings {
		log.Warn("unwise configuration", "warning", w.String())
	}
}

// load reads the configuration. If there is no file, it creates one and returns
// the new keys too: they are available only now.
func (c *serveCommand) load(out output) (cfg *config.Config, warnings []config.Problem, made *initial.Credentials, err error) {
	cfg, warnings, err = loadConfig(c.Config, c.settings)
	if !errors.Is(err, fs.ErrNotExist) {
		return cfg, warnings, nil, err
	}
	credentials, err := makeConfig(c.Config, "", out)
	if err != nil {
		return nil, nil, nil, err
	}
	cfg, warnings, err = loadConfig(c.Config, c.settings)
	return cfg, warnings, &credentials, err
}

// again returns a function that reads the configuration for a reload. file is
// the one that was read before, or empty. The server does not go on without a
// file that it has read, even if the environment would do.
func (c *serveCommand) again(file string, log *slog.Logger) func() (*config.Config, error) {
	return func() (*config.Config, error) {
		next, warnings, err := loadConfig(c.Config, c.settings)
		warn(log, warnings)
		switch {
		case err != nil:
			return nil, err
		case next.File == "" && file != "":
			return nil, fmt.Errorf("%s is gone", file)
		case next.File == "":
			log.Warn("the configuration is in the environment, which cannot change while the server runs: only the files that it names are read again")
		}
		file = next.File
		return next, nil
	}
}

// await returns what run returns. Once ctx has ended, it waits for at most
// stopTime. Leaving then is safe: what was acknowledged is on the disk.
func await(ctx context.Context, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("not stopped cleanly within %v: requests under way were cut off", stopTime)
	}
}

// printTrial prints commands that work as they are: they send an event, and
// read it back.
func printTrial(w io.Writer, public net.Addr, keys initial.Credentials) {
	base := "http://" + reach.Local(public)
	terminal.Say(w, `
Send a first event:

  curl -sS %[1]s/track/v2/projects/%[2]s/customers/events \
    -H 'Authorization: Token %[3]s' -H 'Content-Type: application/json' \
    -d '{"customer_ids": {"registered": "jane@example.com"}, "event_type": "hello", "properties": {"from": "curl"}}'

And read it back:

  curl -sS %[1]s/data/v2/projects/%[2]s/customers/events \
    -u '%[4]s:%[5]s' -H 'Content-Type: application/json' \
    -d '{"customer_ids": {"registered": "jane@example.com"}, "event_types": ["hello"]}'

See it come in, in a browser: %[1]s/
The password is %[6]s; it is printed this once, and only its hash is kept.

`, base, keys.ProjectToken, keys.PublicToken, keys.KeyID, keys.Secret, keys.Password)
}
