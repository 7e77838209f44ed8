package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"trackway/cmd/trackway/command"
	"trackway/internal/running"
)

// commandTools returns what the commands in packages of their own use.
func commandTools(in io.Reader, out output) command.Tools {
	return command.Tools{
		Stdin: in, Stdout: out.stdout, Stderr: out.stderr, Until: until, Print: printIndented, Ask: askServer,
		AskAny: func(ctx context.Context, config, data, method, route string, query url.Values, into any) error {
			return (&dataFlags{configFile{Config: config}, data}).with(ctx, out, false, func(client *http.Client) error {
				return get(ctx, client, method, route, query, into)
			})
		},
		Post: func(ctx context.Context, config, data, route string, query url.Values, body []byte, read func(io.Reader) error) error {
			return (&dataFlags{configFile{Config: config}, data}).with(ctx, out, false, func(client *http.Client) error {
				answer, err := running.Control(ctx, client, http.MethodPost, route, query, bytes.NewReader(body), int64(len(body)))
				if err != nil {
					return err
				}
				defer answer.Close()
				return read(answer)
			})
		},
	}
}

func askServer(ctx context.Context, config, data, method, route string, query url.Values, into any) error {
	_, client, err := (&dataFlags{configFile{Config: config}, data}).running(ctx)
	if err != nil {
		return err
	}
	return get(ctx, client, method, route, query, into)
}
