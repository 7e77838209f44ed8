// Package configfile chooses the configuration of a command.
package configfile

import (
	"cmp"
	"os"
	"slices"

	"github.com/alecthomas/kong"

	"trackway/internal/config"
)

// Flag is the flag of every command that needs a configuration.
type Flag struct {
	Config string `env:"TRACKWAY_CONFIG" help:"Configuration file (trackway.yaml, or the installed server's /etc/trackway/trackway.yaml)." placeholder:"FILE"`
}

// AfterApply chooses the configuration: see [Choose].
func (f *Flag) AfterApply(ctx *kong.Context) error {
	f.Config = Choose(ctx, f.Config)
	return nil
}

// The configuration files that are used if the operator names none.
const (
	local     = "trackway.yaml"
	installed = "/etc/trackway/trackway.yaml" // of the packages in packaging/
)

// Choose returns the file that the operator has named. Otherwise it returns the
// text in TRACKWAY_YAML, or a file. Commands that create a file create it here.
// All others use the installed server's file if there is no file here.
func Choose(ctx *kong.Context, named string) string {
	creates := slices.Contains([]string{"serve", "init"}, ctx.Command())
	return orText(ctx, cmp.Or(named, usual(creates, local, installed)))
}

// usual returns local, or installed if only that exists.
func usual(creates bool, local, installed string) string {
	if creates || exists(local) || !exists(installed) {
		return local
	}
	return installed
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// orText returns the name of the variable TRACKWAY_YAML if it is set, or else
// the path of a configuration file. A flag that names a file wins. The variable
// TRACKWAY_CONFIG does not: an image sets it for everyone.
func orText(ctx *kong.Context, path string) string {
	named := slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == "config" })
	if named || os.Getenv(config.TextVariable) == "" {
		return path
	}
	return config.TextVariable
}
