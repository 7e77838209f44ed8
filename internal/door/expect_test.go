package door

import (
	"net/http"
	"testing"
	"testing/synctest"
)

// TestExpectIsAnswered checks that a client that sent Expect gets the answer of
// a handler that does not want the body, without sending the body.
func TestExpectIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 10}, fine)
		c := x.connect("192.0.2.1")
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
		if got := c.answered(); got != http.StatusOK {
			t.Errorf("got %d", got)
		}
	})
}
