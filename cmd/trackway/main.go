// Command trackway is a tracking server with its administration commands. Each
// command is a struct in a file of its own, with its flags and environment
// variables in the struct's tags. The commands only connect things: the
// packages in internal do the work.
package main

import (
	"errors"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"

	"trackway/cmd/trackway/alarms"
	"trackway/cmd/trackway/audit"
	"trackway/cmd/trackway/bots"
	"trackway/cmd/trackway/cluster"
	"trackway/cmd/trackway/configfile"
	"trackway/cmd/trackway/contracts"
	"trackway/cmd/trackway/key"
	"trackway/cmd/trackway/user"
	"trackway/internal/config"
	"trackway/internal/terminal"
)

// The exit statuses.
const (
	fine   = 0
	failed = 1 // refused or failed; stderr has the reason
	misuse = 2 // no such command or flag
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

type commands struct {
	Serve        serveCommand        `cmd:"" help:"Run the server. Without a configuration file, create one and print how to try the server."`
	Init         initCommand         `cmd:"" help:"Create a configuration file with a project and random keys."`
	Check        checkCommand        `cmd:"" help:"Check the configuration and print its mistakes."`
	Key          key.Command         `cmd:"" help:"Manage the keys that let clients in."`
	User         user.Command        `cmd:"" help:"Manage the users who may sign in at the server's pages."`
	Audit        audit.Command       `cmd:"" help:"Show who did what to the server, and check that nobody has changed that log."`
	Tail         tailCommand         `cmd:"" help:"Show events live, as they become durable."`
	Catalogue    catalogueCommand    `cmd:"" help:"Show the types of events, and their properties."`
	Import       importCommand       `cmd:"" help:"Import customers and events from NDJSON or CSV files."`
	Export       exportCommand       `cmd:"" help:"Export customers and events to a file."`
	Backup       backupCommand       `cmd:"" help:"Back up all stored data. The server may be running."`
	Restore      restoreCommand      `cmd:"" help:"Restore a backup into a new data directory."`
	Salvage      salvageCommand      `cmd:"" help:"Show what a damaged write-ahead log has lost, and continue without it."`
	Limits       limitsCommand       `cmd:"" help:"Show how the rate limits are used, and what other limits would do."`
	Destinations destinationsCommand `cmd:"" help:"Show and operate the destinations, to which all data is copied."`
	Bots         bots.Command        `cmd:"" help:"Show which customers behave like programs, and try the rules on the past."`
	Contracts    contracts.Command   `cmd:"" help:"Show the contracts of types of events, propose some, and try them on the past."`
	Alarms       alarms.Command      `cmd:"" help:"Show what is wrong, test how it is told, and try the rules on the past."`
	Cluster      cluster.Command     `cmd:"" help:"Make several servers keep the same data, and operate them."`
	Mirror       mirrorCommand       `cmd:"" help:"Compare the mirrors with this server."`
	Bench        benchCommand        `cmd:"" help:"Put the server under load, and check that it stores what it has acknowledged."`
	Doctor       doctorCommand       `cmd:"" help:"Check the installation: disk, clock, proxies, limits, and whether the configured addresses can be reached."`
	Healthcheck  healthcheckCommand  `cmd:"" help:"Check whether the server is ready, for containers."`
	Completion   completionCommand   `cmd:"" help:"Print a script that makes a shell complete commands and flags."`
	Man          manCommand          `cmd:"" help:"Print the man page of the program or of a command."`
	Version      versionCommand      `cmd:"" help:"Print the version."`
}

// configFile is the flag of every command that needs a configuration.
type configFile = configfile.Flag

// settings are the flags that override the configuration file. They convert to
// [config.Flags].
type settings struct {
	Listen    string `env:"TRACKWAY_LISTEN" help:"Address for clients." placeholder:"HOST:PORT"`
	OpsListen string `env:"TRACKWAY_OPS_LISTEN" help:"Address for health and metrics, for the operator only." placeholder:"HOST:PORT"`
	DataDir   string `env:"TRACKWAY_DATA" help:"Data directory." name:"data" placeholder:"DIR"`
	LogLevel  string `env:"TRACKWAY_LOG_LEVEL" help:"debug, info, warn or error." placeholder:"LEVEL"`
	LogFormat string `env:"TRACKWAY_LOG_FORMAT" help:"text or json." placeholder:"FORMAT"`
}

// output is where a command writes: results to stdout, and messages about them
// to stderr.
type output struct{ stdout, stderr io.Writer }

// run runs the command in args and returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	status := -1 // set by --help, which ends the parsing early
	parser := newParser(kong.Writers(stdout, stderr), kong.Exit(func(s int) { status = s }))
	ctx, err := parser.Parse(args)
	switch {
	case status >= 0:
		return status
	case err != nil:
		terminal.Say(stderr, "trackway: %v\nTry: %s --help\n", err, reached(err))
		return misuse
	}
	out := output{terminal.Screen(stdout), terminal.Screen(stderr)}
	if err := ctx.Run(out, input{stdin}, commandTools(stdin, out)); err != nil {
		complain(stderr, err)
		return failed
	}
	return fine
}

// newParser returns a parser of the command line.
func newParser(options ...kong.Option) *kong.Kong {
	return kong.Must(&commands{}, append([]kong.Option{
		kong.Name("trackway"),
		kong.Description("A self-hosted tracking server. Flags win over the environment, which wins over the configuration file."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	}, options...)...)
}

// reached returns the command up to which arguments could be parsed.
func reached(err error) string {
	if wrong, ok := errors.AsType[*kong.ParseError](err); ok {
		for _, step := range slices.Backward(wrong.Context.Path) {
			if at := step.Node(); at != nil {
				return at.FullPath()
			}
		}
	}
	return "trackway"
}

// complain prints why a command failed. Each mistake in a configuration has a
// line of its own that begins with its place, in the format of compilers.
func complain(stderr io.Writer, err error) {
	if invalid, ok := errors.AsType[config.InvalidError](err); ok {
		terminal.Say(stderr, "%v\n", invalid)
		return
	}
	terminal.Say(stderr, "trackway: %v\n", err)
}
