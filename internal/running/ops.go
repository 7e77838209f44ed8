package running

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"trackway/internal/config/reach"
	"trackway/internal/control"
)

const (
	// Patience limits how long the running server may take to answer.
	Patience = 10 * time.Second
	// Glance limits how long a server may take to show that it is running.
	Glance = time.Second
)

// InUse returns an error if no server uses a data directory. A server that got
// its data directory from a flag or the environment would read another file
// than the changed one, and keep its old keys.
func InUse(dataDir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), Glance)
	defer cancel()
	conn, err := control.Dial(ctx, dataDir)
	if err != nil {
		return fmt.Errorf("the running server has another data directory than %s (name its own by --data or TRACKWAY_DATA): %w", dataDir, err)
	}
	return conn.Close()
}

// Ops returns the URL of the operator's listener, which has the address listen.
func Ops(listen string) (base string, err error) {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return "", err
	}
	if addr.IP == nil {
		addr.IP = net.IPv4zero // ":8081" is every address
	}
	return "http://" + reach.Local(addr), nil
}

// CallOps calls the operator's listener, which has to answer within patience.
// It returns an error unless the answer reports success.
func CallOps(method, target string, patience time.Duration) error {
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
		return Unreachable(strings.TrimSuffix(target, req.URL.Path), err)
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
