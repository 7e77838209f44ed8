package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"trackway/internal/prereq"
)

// newPlaces makes places, connected by a network, until the end of the test.
func newPlaces(t *testing.T, n int) ([]*place, *switchboard) {
	t.Helper()
	var places []*place
	for i := range n {
		p, err := newPlace(netip.AddrFrom4([4]byte{10, 99, 0, byte(i + 1)}))
		if err != nil {
			for _, p := range places {
				p.close()
			}
			prereq.Missing(t, prereq.Namespaces, "a network namespace cannot be made: "+err.Error())
		}
		places = append(places, p)
	}
	network := connect(places)
	t.Cleanup(func() {
		network.close()
		for _, p := range places {
			p.close()
		}
	})
	return places, network
}

// TestNetwork: the network between places does what the tests of a cluster ask
// for.
func TestNetwork(t *testing.T) {
	t.Parallel()
	places, network := newPlaces(t, 3)
	var echo net.Listener
	places[1].do(func() {
		var err error
		if echo, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "10.99.0.2:7"); err != nil {
			t.Error(err)
		}
	})
	var echoes sync.WaitGroup
	ended := make(chan struct{})
	echoes.Go(func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			echoes.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
			echoes.Go(func() {
				<-ended
				_ = conn.Close() // the other end may be gone unheard
			})
		}
	})
	defer func() {
		_ = echo.Close()
		close(ended)
		echoes.Wait()
	}()
	// said returns how long an echo from the second place takes.
	said := func(from int, patience time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		began := time.Now()
		conn, err := places[from].dial(ctx, "tcp", "10.99.0.2:7")
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(began.Add(patience)); err != nil {
			return 0, err
		}
		text := make([]byte, 50_000)
		go func() { _, _ = conn.Write(text) }()
		_, err = io.ReadFull(conn, make([]byte, len(text)))
		return time.Since(began), err
	}
	const short, long = 500 * time.Millisecond, time.Minute
	for _, step := range []struct {
		name  string
		set   func()
		cut   [2]bool // from the first place, and from the third
		least time.Duration
	}{
		{"calm", func() {}, [2]bool{}, 0},
		{"cut", func() { network.between(0, 1, weather{cut: true}) }, [2]bool{true, false}, 0},
		{"one way there", func() { network.set(0, 1, weather{cut: true}) }, [2]bool{true, false}, 0},
		{"one way back", func() { network.set(1, 2, weather{cut: true}) }, [2]bool{false, true}, 0},
		{"alone", func() { network.around(1, weather{cut: true}) }, [2]bool{true, true}, 0},
		{"loss", func() { network.all(weather{loss: 0.05}) }, [2]bool{}, 0},
		{"delay", func() { network.all(weather{delay: 30 * time.Millisecond, jitter: 10 * time.Millisecond}) }, [2]bool{}, 120 * time.Millisecond},
		{"slow", func() { network.all(weather{rate: 200_000}) }, [2]bool{}, 250 * time.Millisecond},
	} {
		network.all(weather{})
		step.set()
		for i, from := range []int{0, 2} {
			patience := long
			if step.cut[i] {
				patience = short
			}
			took, err := said(from, patience)
			switch {
			case step.cut[i] && !isTimeout(err):
				t.Errorf("%s: from %d: got %v, want a timeout", step.name, from, err)
			case !step.cut[i] && (err != nil || took < step.least):
				t.Errorf("%s: from %d: got %v after %v, want an echo after %v", step.name, from, err, took, step.least)
			}
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
