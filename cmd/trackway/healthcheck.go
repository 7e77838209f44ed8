package main

import (
	"net/http"

	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type healthcheckCommand struct {
	configFile

	OpsListen string `env:"TRACKWAY_OPS_LISTEN" help:"Address of the operator's listener; overrides the configuration." placeholder:"HOST:PORT"`
}

// Run asks the server of this configuration whether it is ready.
func (c *healthcheckCommand) Run(out output) error {
	cfg, err := config.LoadElsewhere(c.Config, config.Flags{OpsListen: c.OpsListen}, app.CheckLimits)
	if err != nil {
		return err
	}
	base, err := running.Ops(cfg.OpsListen)
	if err != nil {
		return err
	}
	if err := running.CallOps(http.MethodGet, base+"/-/ready", running.Patience); err != nil {
		return err
	}
	terminal.Say(out.stdout, "ready\n")
	return nil
}
