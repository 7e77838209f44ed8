package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"trackway/cmd/trackway/command"
	"trackway/internal/app"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/datadir"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type backupCommand struct {
	dataFlags

	Dir  string `arg:"" help:"Directory of backups, created if it is missing. Best on another disk." placeholder:"DIR"`
	Keep int    `default:"3" help:"How many backups to keep there, including this one; older ones are removed (${default})." placeholder:"N"`
}

// Run backs up the running server, or the data of a stopped one.
func (c *backupCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	return c.with(ctx, out, false, func(client *http.Client) error {
		query := url.Values{"dir": {dir}, "keep": {strconv.Itoa(c.Keep)}}
		answer, err := running.Control(ctx, client, http.MethodPost, "/backup", query, nil, 0)
		if err != nil {
			return err
		}
		defer answer.Close()
		var b control.Backup
		if err := json.NewDecoder(answer).Decode(&b); err != nil {
			return fmt.Errorf("the server's answer was cut off: %w", err)
		}
		terminal.Say(out.stdout, "Backed up to %s: everything up to change %d, %s in %d files (%d written, the others shared). Backups there: %d.\n",
			b.Path, b.Seq, terminal.Size(b.Bytes), b.Files, b.Copied, b.Generations)
		terminal.Say(out.stdout, "The configuration is not in it, because it holds secrets: keep %s elsewhere.\n", c.Config)
		return nil
	})
}

type restoreCommand struct {
	dataFlags

	Backup string `arg:"" help:"A directory of backups (the newest one is restored), or one backup in it." placeholder:"DIR"`
}

// Run makes a data directory from a backup. With --data it needs no
// configuration.
func (c *restoreCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	dir := c.DataDir
	if dir == "" {
		cfg, err := config.LoadElsewhere(c.Config, config.Flags{}, app.CheckLimits)
		if err != nil {
			return fmt.Errorf("%w; or name the directory with --data", err)
		}
		dir = cfg.DataDir
	}
	b, err := datadir.Restore(ctx, c.Backup, dir)
	if err != nil {
		return err
	}
	e := command.Entry(audit.BackupRestore, b.Path)
	e.Outcome = audit.Done
	command.Log(dir, out.stderr).Note(e)
	terminal.Say(out.stdout, "Restored %s of %s to %s: everything up to change %d, %s. All of it was read and found whole.\n",
		b.Path, b.At.Local().Format("2006-01-02 15:04:05"), dir, b.Seq, terminal.Size(b.Bytes))
	return nil
}
