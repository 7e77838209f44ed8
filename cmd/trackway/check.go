package main

import (
	"fmt"

	"trackway/internal/config"
)

type checkCommand struct {
	configFile
	settings
}

// Run reads the configuration as serve would, flags and environment included.
func (c *checkCommand) Run(out output) error {
	cfg, warnings, err := config.Load(c.Config, config.Flags(c.settings))
	for _, w := range warnings {
		fmt.Fprintln(out.stderr, "warning:", w)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s is fine. Projects: %d, limits: %d, overrides: %d.\n",
		c.Config, len(cfg.Projects), len(cfg.Policies), len(cfg.Overrides))
	return nil
}
