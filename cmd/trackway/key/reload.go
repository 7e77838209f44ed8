package key

import (
	"cmp"
	"fmt"
	"io"
	"net/http"

	"trackway/internal/config"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

// serverReload has the flags of every command that changes the configuration of
// a server that may be running.
type serverReload struct {
	Reload    bool   `help:"Make the running server reload the configuration."`
	OpsListen string `env:"TRACKWAY_OPS_LISTEN" help:"Address of the operator's listener; overrides the configuration." placeholder:"HOST:PORT"`
}

// apply makes the running server use the changed configuration, or says how to
// do that.
func (r *serverReload) apply(cfg *config.Config, stdout io.Writer) error {
	base, err := running.Ops(cmp.Or(r.OpsListen, cfg.OpsListen))
	if err != nil {
		return err
	}
	if r.Reload {
		err := running.CallOps(http.MethodPost, base+"/-/reload", running.Patience)
		if err == nil {
			err = running.InUse(cfg.DataDir)
		}
		if err != nil {
			return fmt.Errorf("the file is changed, but not in force: %w", err)
		}
		terminal.Say(stdout, "The running server has read it.\n")
		return nil
	}
	if runs := running.CallOps(http.MethodGet, base+"/-/healthy", running.Glance) == nil && running.InUse(cfg.DataDir) == nil; runs {
		terminal.Say(stdout, "The running server does not use the change yet. Make it reload the configuration (next time by --reload):\n  curl -X POST %s/-/reload\n", base)
	} else {
		terminal.Say(stdout, "No server was found at %s that uses %s. A server elsewhere reads the file again at SIGHUP, or when it starts.\n", base, cfg.DataDir)
	}
	return nil
}
