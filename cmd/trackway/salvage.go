package main

import (
	"errors"
	"fmt"
	"os"

	"trackway/cmd/trackway/command"
	"trackway/internal/audit"
	"trackway/internal/control"
	"trackway/internal/datadir"
	"trackway/internal/terminal"
)

type salvageCommand struct {
	dataFlags

	Drop bool `help:"Continue without what is lost. This cannot be undone: copy the data directory first."`
}

// errDamaged makes the exit status show scripts that the log is damaged.
var errDamaged = errors.New("the write-ahead log is damaged; nothing was changed")

// Run prints what is lost if the server does not start because its write-ahead
// log is damaged. With --drop, it removes the damaged part, and the server can
// start again.
func (c *salvageCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	cfg, _, err := c.running(ctx)
	if err == nil {
		return errors.New("a server uses the data directory: its write-ahead log is in order")
	} else if !errors.Is(err, control.ErrNobody) {
		return err
	}
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return fmt.Errorf("there is no data: %w", err)
	}
	if err := datadir.Belongs(cfg.DataDir, os.Geteuid()); err != nil {
		return err
	}
	lost, err := datadir.Salvage(cfg.DataDir, cfg.Log.Logger(out.stderr, cfg.Log.SlogLevel()), c.Drop)
	if err != nil {
		return err
	}
	if lost == nil {
		terminal.Say(out.stdout, "The write-ahead log is in order: nothing is lost.\n")
		return nil
	}
	terminal.Say(out.stdout, "%s is damaged: %s.\n", lost.Log, lost.Why)
	terminal.Say(out.stdout, "Kept: everything up to change %d.\n", lost.Event)
	terminal.Say(out.stdout, "Lost: everything acknowledged after that: events, changes of customers, merges, erasures.\n")
	if lost.Records > 0 {
		terminal.Say(out.stdout, "After the damage there are %d changes that can be read, up to change %d. They are lost, too, because they may build on others that are lost.\n",
			lost.Records, lost.Last)
	}
	if !c.Drop {
		terminal.Say(out.stdout, "Copy the data directory, and run: trackway salvage --drop\nOr restore a backup: see docs/damage.md.\n")
		return errDamaged
	}
	e := command.Entry(audit.StoreSalvage, lost.Log)
	e.Outcome = audit.Done
	command.Log(cfg.DataDir, out.stderr).Note(e)
	terminal.Say(out.stdout, "It is dropped, and the server can start. Repeat the erasures since then, and import what clients still have.\n")
	return nil
}
