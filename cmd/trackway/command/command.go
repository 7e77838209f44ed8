// Package command has what the packages of commands share: what they get of
// package main, and the flags that choose a server.
package command

import (
	"context"
	"io"
	"net/url"

	"trackway/cmd/trackway/configfile"
)

// Tools is what commands use. All fields are required.
type Tools struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// Until returns a context that ends when the user interrupts the command.
	Until func() (ctx context.Context, stop func())

	// Ask asks the server that runs with a configuration file and a data
	// directory, and decodes its answer. It returns control.ErrNobody if no
	// server runs. AskAny asks, in that case, a server that exists for the
	// command only.
	Ask, AskAny func(ctx context.Context, config, data, method, route string, query url.Values, into any) error

	// Post sends a body to the server, or to one that exists for the command
	// only, and calls read with the answer, which arrives bit by bit.
	Post func(ctx context.Context, config, data, route string, query url.Values, body []byte, read func(io.Reader) error) error

	// Print prints a value as JSON.
	Print func(w io.Writer, value any) error
}

// Flags are the flags that choose a server.
type Flags struct {
	configfile.Flag

	DataDir string `env:"TRACKWAY_DATA" help:"Data directory; overrides the configuration." name:"data" placeholder:"DIR"`
}

// Ask asks the running server.
func (f *Flags) Ask(ctx context.Context, t Tools, method, route string, query url.Values, into any) error {
	return t.Ask(ctx, f.Config, f.DataDir, method, route, query, into)
}

// AskAny asks the running server or, if none runs, one that exists for the
// command only.
func (f *Flags) AskAny(ctx context.Context, t Tools, method, route string, query url.Values, into any) error {
	return t.AskAny(ctx, f.Config, f.DataDir, method, route, query, into)
}

// ReportFlags are the flags of a command that prints for people or programs.
type ReportFlags struct {
	Flags

	JSON bool `help:"Print JSON." name:"json"`
}

// ProjectFlags are the flags of a command that prints something about a
// project.
type ProjectFlags struct {
	Flags

	Project string `help:"Name or token of the project; not needed if there is only one." placeholder:"PROJECT"`
	JSON    bool   `help:"Print JSON." name:"json"`
}

// Query returns the parameters of a request about the project.
func (f *ProjectFlags) Query() url.Values {
	q := url.Values{}
	if f.Project != "" {
		q.Set("project", f.Project)
	}
	return q
}
