package member

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"trackway/internal/control/relay"
	"trackway/internal/log/raft/peer"
)

// TestStreamsApart: however many pages watch projects of another server through
// this one, calls get a connection.
func TestStreamsApart(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	network, err := peer.New(ln, peer.Options{Advertise: ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	from := relay.NewListener()
	defer func() { _ = from.Close() }()
	target := peer.Target{Address: ln.Addr().String(), ID: peer.ID{1}}
	network.Handle(peer.Hold, 0, target.ID, func(conn net.Conn) {
		if _, err := conn.Write([]byte{hello}); err == nil {
			from.Take(conn)
		}
	})
	go func() { _ = network.Run(ctx) }()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/stream" {
			<-r.Context().Done()
		}
	})}
	defer func() { _ = srv.Close() }()
	go func() { _ = srv.Serve(from) }()

	var w ways
	defer w.close()
	to := w.to(network, target)
	get := func(ctx context.Context, path string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://holder"+path, http.NoBody)
		if err != nil {
			return err
		}
		res, err := to.RoundTrip(r)
		if err == nil && path != "/stream" {
			err = res.Body.Close()
		}
		return err
	}
	watching, leave := context.WithCancel(t.Context())
	defer leave()
	for range mostConns + 1 {
		if err := get(relay.Stream(watching), "/stream"); err != nil {
			t.Fatal(err)
		}
	}
	soon, cancelSoon := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancelSoon()
	if err := get(soon, "/call"); err != nil {
		t.Errorf("a call beside %d streams: %v", mostConns+1, err)
	}
}
