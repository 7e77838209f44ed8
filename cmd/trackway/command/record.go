package command

import (
	"io"
	"log/slog"
	"os"

	"trackway/internal/audit"
	"trackway/internal/config"
)

// Entry returns an entry of the audit log about what the user of the operating
// system does by a command.
func Entry(action audit.Action, target string) *audit.Entry {
	return &audit.Entry{Actor: audit.Person(os.Geteuid()), Via: audit.Command, Action: action, Target: target, Outcome: audit.Allowed}
}

// Log returns the audit log of a data directory. Its messages go to stderr.
func Log(dataDir string, stderr io.Writer) *audit.Log {
	return audit.New(dataDir, slog.New(slog.NewTextHandler(stderr, nil)))
}

// Change changes the managed file, as [config.ChangeKeys] does. The entry,
// which do may complete, is recorded before the file changes.
func Change(path, dataDir string, stderr io.Writer, e *audit.Entry, do func(*config.Keys) error) (*config.Config, error) {
	var log *audit.Log // nil: nothing was recorded
	cfg, err := config.ChangeKeys(path, config.Flags{DataDir: dataDir}, func(k *config.Keys) error {
		if err := do(k); err != nil {
			return err
		}
		to := Log(k.DataDir(), stderr)
		err := to.Add(e)
		if err == nil {
			log = to
		}
		return err
	})
	return cfg, log.Failed(e, err)
}
