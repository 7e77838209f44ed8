// Command trackway is a tracking server and the commands that go with it. main wires: each command is a struct, with its
// flags and the environment variables that stand for them in its tags, in a file of its own; what a command does, the
// packages in internal do.
package main

import (
	"errors"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"trackway/internal/config"
)

// The exit statuses.
const (
	fine   = 0
	failed = 1 // refused or failed; the reason is on stderr
	misuse = 2 // no such command or flag
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server. Without a configuration file it makes one first, and prints how to try it."`
	Init    initCommand    `cmd:"" help:"Make a configuration file with a project and random keys."`
	Check   checkCommand   `cmd:"" help:"Say what is wrong with the configuration."`
	Key     keyCommand     `cmd:"" help:"The keys that let clients in."`
	Tail    tailCommand    `cmd:"" help:"Show events as they become durable, live."`
	Import  importCommand  `cmd:"" help:"Take customers and events in from files of NDJSON or CSV."`
	Export  exportCommand  `cmd:"" help:"Write customers and events to a file."`
	Backup  backupCommand  `cmd:"" help:"Back up everything that is stored, while the server runs or not."`
	Restore restoreCommand `cmd:"" help:"Make a data directory of a backup."`
	Salvage salvageCommand `cmd:"" help:"Say what is lost with a damaged write-ahead log, and go on without it."`
	Limits  limitsCommand  `cmd:"" help:"How the rate limits are used, and what others would do."`
	Bench   benchCommand   `cmd:"" help:"Put the server under load, and check that what it acknowledged is stored."`
	Doctor  doctorCommand  `cmd:"" help:"Check the installation: disk, clock, proxies, limits, and whether what is configured can be reached."`
	Version versionCommand `cmd:"" help:"Print which version this is."`
}

// configFile is the flag of every command that needs a configuration.
type configFile struct {
	Config string `default:"trackway.yaml" env:"TRACKWAY_CONFIG" help:"Configuration file (${default})." placeholder:"FILE"`
}

// settings are the flags that win over the configuration file: those of [config.Flags], which they are converted to.
type settings struct {
	Listen    string `env:"TRACKWAY_LISTEN" help:"Where clients reach the server." placeholder:"HOST:PORT"`
	OpsListen string `env:"TRACKWAY_OPS_LISTEN" help:"Health and metrics, for the operator only." placeholder:"HOST:PORT"`
	DataDir   string `env:"TRACKWAY_DATA" help:"Where everything is stored." name:"data" placeholder:"DIR"`
	LogLevel  string `env:"TRACKWAY_LOG_LEVEL" help:"debug, info, warn or error." placeholder:"LEVEL"`
	LogFormat string `env:"TRACKWAY_LOG_FORMAT" help:"text or json." placeholder:"FORMAT"`
}

// output is where a command writes: what was asked for, and what is said about it.
type output struct{ stdout, stderr io.Writer }

// run runs the command that args name and returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	status := -1 // of --help, which ends the parsing in its midst
	parser := kong.Must(&commands{},
		kong.Name("trackway"),
		kong.Description("A self-hosted tracking server. Flags win over the environment, which wins over the configuration file."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(s int) { status = s }),
	)
	ctx, err := parser.Parse(args)
	switch {
	case status >= 0:
		return status
	case err != nil:
		say(stderr, "trackway: %v\nTry: trackway --help\n", err)
		return misuse
	}
	if err := ctx.Run(output{onScreen(stdout), onScreen(stderr)}, input{stdin}); err != nil {
		complain(stderr, err)
		return failed
	}
	return fine
}

// complain prints why a command failed. What is wrong with a configuration has a line and a place each, as compilers print it.
func complain(stderr io.Writer, err error) {
	if invalid, ok := errors.AsType[config.InvalidError](err); ok {
		say(stderr, "%v\n", invalid)
		return
	}
	say(stderr, "trackway: %v\n", err)
}
