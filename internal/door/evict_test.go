package door

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStalledBodyMakesPlace checks that the door closes requests whose bodies
// stall or are slower than the least rate. The address with the most requests
// loses its oldest one first. A request whose body arrives fast enough stays.
func TestStalledBodyMakesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 4}, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		post := func(addr string) *client {
			c := x.connect(addr)
			c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8194\r\n\r\n")
			pass(time.Millisecond) // the older of two goes first
			return c
		}
		stalled, trickles, proxied, fast := post("192.0.2.1"), post("192.0.2.1"), post("10.0.0.1"), post("192.0.2.2")
		x.connect("192.0.2.3").closed(true) // the bodies of all may still come
		for range 4 {
			pass(slow / 2)
			trickles.send("a")
			fast.send(strings.Repeat("a", 2<<10))
		}
		pass(slow / 50)
		x.connect("192.0.2.3").ask()
		stalled.closed(true)
		next := post("192.0.2.4") // in place of the idle one
		post("192.0.2.5")
		trickles.closed(true)
		proxied.closed(false)
		next.closed(false)
		post("192.0.2.6")
		proxied.closed(true)
		x.connect("192.0.2.7").closed(true)
		fast.send("aa")
		fast.answered()
	})
}
