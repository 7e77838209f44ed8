package app

import (
	"log/slog"
	"strings"
	"time"

	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/difference"
)

func newAudit(cfg *config.Config, log *slog.Logger) *audit.Log {
	l := audit.New(cfg.DataDir, log)
	l.KeepFor(time.Duration(cfg.Audit.Keep))
	return l
}

// started records the start of the server. The server starts even if that
// cannot be recorded.
func (s *server) started() {
	s.audit.Note(&audit.Entry{Via: audit.Server, Action: audit.ServerStart, Outcome: audit.Done, Target: s.Version})
	s.audit.Tidy(time.Now())
}

// ended records the end of the server. A killed server records no end.
func (s *server) ended(err error) {
	e := &audit.Entry{Via: audit.Server, Action: audit.ServerStop, Outcome: audit.Done, Target: s.Version}
	if err != nil {
		e.Outcome = audit.Failed
	}
	s.audit.Note(e)
}

// reloaded records a reload with the names of what is different now. If it was
// refused, the server's log says why.
func (s *server) reloaded(via audit.Via, before *config.Config, err error) {
	e := &audit.Entry{Via: via, Action: audit.ConfigReload, Outcome: audit.Done}
	if err != nil {
		e.Outcome = audit.Refused
	} else {
		e.Detail = told(difference.Of(before, s.Config))
	}
	s.audit.Note(e)
}

// told lists what has changed.
func told(changed []string) string {
	if len(changed) == 0 {
		return "nothing changed"
	}
	return strings.Join(changed, ", ")
}
