// Package systemd tells systemd about the state of a service that it runs
// (sd_notify(3), sd_watchdog_enabled(3)): that the service starts and needs
// more time, that it is ready, that it is alive, and that it stops. The package
// does not depend on systemd, and does nothing if another program started the
// service.
package systemd

import (
	"context"
	"net"
	"strconv"
	"time"
)

const (
	// More time for the start is asked for so often, and lasts so long. The
	// start of a server that has much to read, or that upgrades its store, may
	// take longer than any timeout in a unit.
	extendEvery = 10 * time.Second
	extension   = 60 * time.Second

	// pingsPerTimeout is how often the service says that it is alive within the
	// watchdog's timeout. sd_watchdog_enabled(3) recommends 2; one more makes
	// up for a slow answer.
	pingsPerTimeout = 3
)

// Unit is the unit that a process was started for.
type Unit struct {
	// Send sends a state to systemd, such as READY=1. Errors are ignored:
	// systemd acts on what it does not hear.
	Send func(state string)
	// Watchdog is the timeout of the unit's watchdog. Zero: it has none.
	Watchdog time.Duration
}

// New returns the unit of the process pid, or nil if systemd does not wait for
// notifications. getenv returns the variables of the process.
func New(getenv func(name string) string, pid int) *Unit {
	socket := getenv("NOTIFY_SOCKET") // a path, or an abstract name that begins with @, as package net has it
	if socket == "" {
		return nil
	}
	u := &Unit{Send: func(state string) { send(socket, state) }}
	if of := getenv("WATCHDOG_PID"); of == "" || of == strconv.Itoa(pid) {
		micros, _ := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64) // 0 if there is no watchdog
		u.Watchdog = time.Duration(micros) * time.Microsecond
	}
	return u
}

func send(socket, state string) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // systemd may be busy
	_, _ = conn.Write([]byte(state))
}

// Run tells systemd about the service until ctx ends: until ready is closed, it
// asks for more time; then it says that the service is ready, and that it is
// alive whenever alive returns nil. alive has to return within its patience. At
// the end it says that the service stops.
func (u *Unit) Run(ctx context.Context, ready <-chan struct{}, alive func(patience time.Duration) error) {
	defer u.Send("STOPPING=1")
	if !u.starting(ctx, ready) {
		return
	}
	u.Send("READY=1")
	if u.Watchdog <= 0 {
		<-ctx.Done()
		return
	}
	every := u.Watchdog / pingsPerTimeout
	for tick := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		if alive(every) == nil {
			u.Send("WATCHDOG=1")
		}
	}
}

// starting waits until ready is closed. It returns false if ctx ends first.
func (u *Unit) starting(ctx context.Context, ready <-chan struct{}) bool {
	tick := time.NewTicker(extendEvery)
	defer tick.Stop()
	for {
		u.Send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(extension.Microseconds(), 10))
		select {
		case <-ready:
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
