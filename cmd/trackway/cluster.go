package main

import (
	"context"
	"io"
	"net/url"

	"trackway/cmd/trackway/cluster"
	"trackway/cmd/trackway/user"
)

// clusterTools returns what the commands of a cluster use.
func clusterTools(stdout, stderr io.Writer) cluster.Tools {
	return cluster.Tools{Stdout: stdout, Stderr: stderr, Until: until, Print: printIndented, Ask: askServer}
}

// userTools returns what the commands for users use.
func userTools(stdin io.Reader, stdout, stderr io.Writer) user.Tools {
	return user.Tools{Stdin: stdin, Stdout: stdout, Stderr: stderr, Until: until, Ask: askServer}
}

func askServer(ctx context.Context, config, data, method, route string, query url.Values, into any) error {
	_, client, err := (&dataFlags{configFile{Config: config}, data}).running(ctx)
	if err != nil {
		return err
	}
	return get(ctx, client, method, route, query, into)
}
