package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"trackway/internal/app"
	"trackway/internal/config/reach"
	"trackway/internal/running"
	"trackway/internal/systemd"
)

// supervised returns run, which tells a unit of systemd how the server is. Its
// watchdog restarts a server whose own listener does not answer. A nil unit
// changes nothing.
func supervised(run server, unit *systemd.Unit) server {
	if unit == nil {
		return run
	}
	return func(ctx context.Context, s app.Setup) error {
		ready, base := make(chan struct{}), ""
		inner := s.Ready
		s.Ready = func(public, ops net.Addr) {
			inner(public, ops)
			base = "http://" + reach.Local(ops)
			close(ready)
		}
		telling, stop := context.WithCancel(ctx)
		told := make(chan struct{})
		go func() {
			defer close(told)
			unit.Run(telling, ready, func(patience time.Duration) error { //nolint:contextcheck // its patience ends it
				return running.CallOps(http.MethodGet, base+"/-/healthy", patience)
			})
		}()
		err := run(ctx, s)
		stop()
		<-told
		return err
	}
}
