package main

import (
	"cmp"

	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/terminal"
)

type checkCommand struct {
	configFile
	settings
}

// Run reads the configuration as serve would, with its flags and environment.
func (c *checkCommand) Run(out output) error {
	cfg, warnings, err := loadConfig(c.Config, c.settings)
	for _, w := range warnings {
		terminal.Say(out.stderr, "warning: %v\n", w)
	}
	if err != nil {
		return err
	}
	terminal.Say(out.stdout, "%s is fine. Projects: %d, limits: %d, overrides: %d, destinations: %d.\n",
		cmp.Or(cfg.File, "The environment"), len(cfg.Projects), len(cfg.Policies), len(cfg.Overrides), len(cfg.Destinations))
	return nil
}

// loadConfig reads the configuration and checks it in full.
func loadConfig(path string, s settings) (*config.Config, []config.Problem, error) {
	return config.Load(path, config.Flags(s), app.CheckLimits, app.CheckDestinations, app.CheckAlarms, app.CheckCluster)
}
