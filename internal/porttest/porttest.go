// Package porttest finds free ports for tests, for programs that have to be
// told theirs, or that get the same one again when they are restarted.
package porttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// given are the ports that this process got.
var given sync.Map

// Free returns a port of the loopback interface on which nobody listens. It
// lies below those that systems give to connections, and to listeners at port
// 0, so that none of those takes it meanwhile. Nobody else in this process gets
// the same one.
func Free() (int, error) {
	const first, ports, tries = 10_000, 20_000, 1000
	var taken []error
	for range tries {
		port := first + rand.IntN(ports) //nolint:gosec // it is no secret
		if _, before := given.LoadOrStore(port, nil); before {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		taken = append(taken, err)
	}
	return 0, errors.Join(append(taken, errors.New("no port is free"))...)
}

// Address returns an address of the loopback interface with a port of [Free].
func Address(tb testing.TB) string {
	tb.Helper()
	port, err := Free()
	if err != nil {
		tb.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
