package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"trackway/internal/config"
	"trackway/internal/running"
)

// serverFlags are the flags of every command that asks the running server.
type serverFlags struct {
	configFile

	Listen     string `env:"TRACKWAY_LISTEN" help:"Address of the server; overrides the configuration." placeholder:"HOST:PORT"`
	DataDir    string `env:"TRACKWAY_DATA" help:"Data directory of the server; overrides the configuration." name:"data" placeholder:"DIR"`
	SecretFile string `help:"File with the secret of a private key. Without it: TRACKWAY_SECRET, or else a secret from the configuration." placeholder:"FILE"`
}

// ask sends a GET request to the running server, with a private key, and
// returns the body of the answer.
func (a *serverFlags) ask(ctx context.Context, path string, query url.Values) ([]byte, error) {
	secret, err := a.secret()
	if err != nil {
		return nil, err
	}
	cfg, key, err := config.LoadForOperator(a.Config, config.Flags{Listen: a.Listen, DataDir: a.DataDir}, secret)
	if err != nil {
		return nil, err
	}
	client, base, err := running.Public(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, running.Patience, fmt.Errorf("no answer within %v", running.Patience))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(key.ID, key.Secret)
	req.Header.Set("User-Agent", "trackway")
	res, err := client.Do(req)
	if err != nil {
		return nil, running.Unreachable(base, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, running.Unreachable(base, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server at %s refuses: %d %s", base, res.StatusCode, running.Reason(body))
	}
	return body, nil
}

// secret returns the secret from the flag or the environment, or an empty
// string if neither has one. The last line break of a file is not part of the
// secret.
func (a *serverFlags) secret() (string, error) {
	if a.SecretFile == "" {
		return os.Getenv("TRACKWAY_SECRET"), nil
	}
	text, err := os.ReadFile(a.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", a.SecretFile)
	}
	return secret, nil
}
