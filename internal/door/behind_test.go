package door

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/clientip"
)

// TestBehindProxyOfTheSameSite checks that a connection is not closed to make
// room for itself if its proxy takes long to name an address of the proxy's own
// /48.
func TestBehindProxyOfTheSameSite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		proxies := netip.MustParsePrefix("2001:db8:0:ff::/64")
		trusted, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{proxies}})
		if err != nil {
			t.Fatal(err)
		}
		x := build(t, Bounds{Max: 100, PerAddress: 1}, fine, func(ln net.Listener) net.Listener {
			return clientip.ProxyListener(ln, 10*time.Second, func() *clientip.Resolver { return trusted })
		})
		x.door.Trusted = proxies.Contains
		proxy := func(text string) *client {
			c := x.connect("2001:db8:0:ff::1")
			c.send(text)
			return c
		}
		for range WideTimes {
			proxy("P") // and no more: these fill the site
		}
		c := proxy("P")
		pass(2 * slow)
		c.send("ROXY TCP6 2001:db8:0:1::1 2001:db8::2 4711 80\r\n" + simple)
		if got := c.answered(); got != http.StatusOK {
			t.Errorf("got %d", got)
		}
	})
}
