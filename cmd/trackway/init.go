package main

import (
	"errors"
	"fmt"
	"io/fs"

	"trackway/internal/config"
	"trackway/internal/config/initial"
	"trackway/internal/terminal"
)

type initCommand struct {
	configFile

	DataDir string `help:"Data directory to write into the file (trackway-data beside the file)." name:"data" placeholder:"DIR"`
}

// Run creates the configuration file.
func (c *initCommand) Run(out output) error {
	if c.Config == config.TextVariable {
		return errors.New("the configuration is in " + config.TextVariable + ": name a file with --config, or unset the variable")
	}
	made, err := makeConfig(c.Config, c.DataDir, out)
	if err != nil {
		return err
	}
	printPassword(out.stdout, made.Password)
	terminal.Say(out.stdout, "Next: trackway serve --config %s\n", c.Config)
	return nil
}

// makeConfig creates a configuration file at path for a data directory, and
// reports it.
func makeConfig(path, dataDir string, out output) (initial.Credentials, error) {
	made, err := initial.WriteFor(path, dataDir)
	if errors.Is(err, fs.ErrExist) {
		return made, fmt.Errorf("%w; it stays unchanged", err)
	} else if err != nil {
		return made, err
	}
	terminal.Say(out.stdout, "Made %s, readable by its owner only: a project, demo, with random keys.\n", path)
	return made, nil
}
