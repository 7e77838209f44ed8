package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"trackway/internal/config"
	"trackway/internal/config/reach"
	"trackway/internal/control"
	"trackway/internal/terminal"
)

// serverReload has the flags of every command that changes the configuration of
// a server that may be running.
type serverReload struct {
	Reload    bool   `help:"Make the running server reload the configuration."`
	OpsListen string `env:"TRACKWAY_OPS_LISTEN" help:"Address of the operator's listener; overrides the configuration." placeholder:"HOST:PORT"`
}

// lookTime limits how long a server may take to show that it is running.
const lookTime = time.Second

// apply makes the running server use the changed configuration, or says how to
// do that.
func (r *serverReload) apply(cfg *config.Config, out output) error {
	base, err := opsAddress(cmp.Or(r.OpsListen, cfg.OpsListen))
	if err != nil {
		return err
	}
	if r.Reload {
		err := callOps(http.MethodPost, base+"/-/reload", askTime)
		if err == nil {
			err = inUse(cfg.DataDir)
		}
		if err != nil {
			return fmt.Errorf("the file is changed, but not in force: %w", err)
		}
		terminal.Say(out.stdout, "The running server has read it.\n")
		return nil
	}
	if runs := callOps(http.MethodGet, base+"/-/healthy", lookTime) == nil && inUse(cfg.DataDir) == nil; runs {
		terminal.Say(out.stdout, "The running server does not use the change yet. Make it reload the configuration (next time by --reload):\n  curl -X POST %s/-/reload\n", base)
	} else {
		terminal.Say(out.stdout, "No server was found at %s that uses %s. A server elsewhere reads the file again at SIGHUP, or when it starts.\n", base, cfg.DataDir)
	}
	return nil
}

// inUse returns an error if no server uses a data directory. A server that got
// its data directory from a flag or the environment would read another file
// than the changed one, and keep its old keys.
func inUse(dataDir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	conn, err := control.Dial(ctx, dataDir)
	if err != nil {
		return fmt.Errorf("the running server has another data directory than %s (name its own by --data or TRACKWAY_DATA): %w", dataDir, err)
	}
	return conn.Close()
}

func opsAddress(listen string) (base string, err error) {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return "", err
	}
	if addr.IP == nil {
		addr.IP = net.IPv4zero // ":8081" is every address
	}
	return "http://" + reach.Local(addr), nil
}

// callOps calls the operator's listener. It returns an error unless the answer
// reports success.
func callOps(method, target string, patience time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, http.NoBody)
	if err != nil {
		return err
	}
	// No proxy: the server is on this host, or on one beside it.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return unreachable(strings.TrimSuffix(target, req.URL.Path), err)
	}
	defer res.Body.Close()
	const enough = 16 << 10
	body, err := io.ReadAll(io.LimitReader(res.Body, enough))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server refuses it: %s", strings.TrimSpace(string(body)))
	}
	return nil
}
