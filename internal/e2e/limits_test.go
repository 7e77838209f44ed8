package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"trackway/openapi/openapitest"
)

// Addresses from RFC 5737: the flooder's, and those of others.
const (
	flooder   = "203.0.113.7"
	bystander = "203.0.113.8"
)

func from(address string) map[string]string { return map[string]string{"X-Forwarded-For": address} }

// longWindow is a window, in seconds, that does not end during a test, however
// busy the machine is.
const longWindow = 3600

// TestLimits uses up the 6000 calls of one address, then checks the answers to
// its next calls. The subtests share the server, since using up the limit takes
// seconds. None changes anything that another one checks.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+fmt.Sprintf(`
limits:
  - {name: track, paths: [/track/], limit: 6000, window: %ds, per: ip, allow_below_floor: true}
  - {name: api, paths: [/api/, /data/], limit: 30, window: %[1]ds, per: ip+path, allow_below_floor: true}
`, longWindow))
	s.spend(t, flooder, 6000)

	t.Run("the next call is refused, in these bytes", func(t *testing.T) {
		t.Parallel()
		checkRefusal(t, s.raw(t, "GET", "/track/v2/projects/"+projectToken+"/system/time", "", flooder), true)
	})
	t.Run("to HEAD without a body", func(t *testing.T) {
		t.Parallel()
		checkRefusal(t, s.raw(t, "HEAD", "/track/v2/projects/"+projectToken+"/system/time", "", flooder), false)
	})
	t.Run("others are not affected", func(t *testing.T) {
		t.Parallel()
		res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", header: from(bystander)})
		if got := res.header.Get("X-RateLimit-Remaining"); !res.success() || got != "5999" {
			t.Errorf("got %v with %q left, want success and 5999", res, got)
		}
	})
	t.Run("refused data is not stored", func(t *testing.T) {
		t.Parallel()
		res := s.do(t, request{
			path: "/track/v2/projects/{token}/customers/events", header: from(flooder),
			body: []byte(`{"customer_ids": {"registered": "refused-person"}, "event_type": "refused"}`),
		})
		if res.status != http.StatusTooManyRequests {
			t.Errorf("got %v, want 429", res)
		}
		if c := s.exportOne(t, map[string]any{"registered": "refused-person"}); c != nil {
			t.Errorf("got %+v, want no customer", c)
		}
	})
	t.Run("a refused body is not awaited", func(t *testing.T) {
		t.Parallel()
		for _, fields := range []string{
			"Content-Length: 500\r\n",
			"Content-Length: 700000\r\n",
			"Content-Length: 500\r\nExpect: 100-continue\r\n",
			"Content-Length: 700000\r\nExpect: 100-continue\r\n",
			"Transfer-Encoding: chunked\r\n",
		} {
			checkRefusal(t, s.raw(t, "POST", "/track/v2/projects/"+projectToken+"/customers/events", fields, flooder), true)
		}
	})
	t.Run("credentials do not matter", func(t *testing.T) {
		t.Parallel()
		for _, auth := range []string{"none", "unknown-key", "bad-secret", "public"} {
			res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", auth: auth, header: from(flooder)})
			if res.status != http.StatusTooManyRequests {
				t.Errorf("%s: got %v, want 429", auth, res)
			}
		}
	})
	t.Run("preflights pass", func(t *testing.T) {
		t.Parallel()
		header := from(flooder)
		header["Origin"], header["Access-Control-Request-Method"] = "https://shop.example", "POST"
		res := s.do(t, request{method: "OPTIONS", path: "/track/v2/projects/{token}/customers/events", auth: "none", header: header})
		if res.status/100 != 2 {
			t.Errorf("got %v, want 2xx", res)
		}
	})
}

// TestLimitsByPath: the data API admits 30 calls in 30 s for each address and
// path.
func TestLimitsByPath(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	call := func(path, address string) response {
		return s.do(t, request{path: "/data/v2/projects/{token}/customers/" + path, header: from(address), body: []byte(`{"customer_ids": {"registered": "r"}}`)})
	}
	for i := range 30 {
		res := call("export-one", flooder)
		if got, want := res.header.Get("X-RateLimit-Remaining"), strconv.Itoa(29-i); res.status != http.StatusNotFound || got != want {
			t.Fatalf("call %d: got %v with %q left, want 404 and %s", i, res, got, want)
		}
	}
	if res := call("export-one", flooder); res.status != http.StatusTooManyRequests {
		t.Errorf("the 31st call: got %v, want 429", res)
	}
	if res := call("export-one", bystander); res.status != http.StatusNotFound {
		t.Errorf("another address: got %v, want 404", res)
	}
	if res := call("attributes", flooder); res.status == http.StatusTooManyRequests {
		t.Errorf("another path: got %v", res)
	}
}

// TestLimitsDistrust: only a trusted proxy can choose the address of a call.
func TestLimitsDistrust(t *testing.T) {
	t.Parallel()
	s := start(t, strings.Replace(baseConfig, `[127.0.0.0/8, "::1/128"]`, "[]", 1))
	for i := range 3 {
		res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", header: from(fmt.Sprintf("203.0.113.%d", i))})
		if got, want := res.header.Get("X-RateLimit-Remaining"), strconv.Itoa(5999-i); got != want {
			t.Errorf("call %d: got %q left, want %s", i, got, want)
		}
		if got, want := res.header.Get("RateLimit-Policy"), `"track";q=6000;w=60`; got != want {
			t.Errorf("call %d: got the policy %q, want %q", i, got, want)
		}
	}
}

// spend makes a number of calls that must all succeed.
func (s *server) spend(t *testing.T, address string, calls int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	work := make(chan struct{}, calls)
	for range calls {
		work <- struct{}{}
	}
	close(work)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range work {
				res, err := s.try(ctx, request{path: "/track/v2/projects/{token}/system/time", auth: "public", header: from(address)})
				if err != nil || !res.success() {
					t.Errorf("got %v, want success (%v)", res, err)
					cancel()
				}
			}
		})
	}
	workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// raw sends the head of a request, without a body, over a connection of its
// own, and returns the answer byte for byte.
func (s *server) raw(t *testing.T, method, path, fields, address string) string {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// This is much less than the time that the server gives a client to send
	// its body.
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: trackway\r\nAuthorization: Token %s\r\nX-Forwarded-For: %s\r\n%s\r\n",
		method, path, publicKey, address, fields)
	if err != nil {
		t.Fatal(err)
	}
	var answer strings.Builder
	res, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &answer)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %q: %v after %q", method, fields, err, answer.String())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %q: %v after %q", method, fields, err, answer.String())
	}
	err = contract.Contract.Check(&openapitest.Call{Method: method, Path: path, Status: res.StatusCode, AnswerHeader: res.Header, Answer: body})
	if err != nil {
		t.Error(err)
	}
	return answer.String()
}

// checkRefusal compares a refusal by the policy track with rate-limits.md,
// including letter case.
func checkRefusal(t *testing.T, answer string, withBody bool) {
	t.Helper()
	head, body, _ := strings.Cut(answer, "\r\n\r\n")
	status, fields, _ := strings.Cut(head, "\r\n")
	if status != "HTTP/1.1 429 Too Many Requests" {
		t.Fatalf("got %q, want a 429", answer)
	}
	got := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(fields))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		if _, twice := got[name]; twice {
			t.Errorf("the field %s is there twice", name)
		}
		got[name] = value
	}
	wait, err := strconv.Atoi(got["Retry-After"])
	if err != nil || wait < 1 || wait > longWindow {
		t.Errorf("got Retry-After %q, want 1 to %d", got["Retry-After"], longWindow)
	}
	for name, want := range map[string]string{
		"X-RateLimit-Limit":     "6000",
		"X-RateLimit-Remaining": "0",
		"RateLimit-Policy":      fmt.Sprintf(`"track";q=6000;w=%d`, longWindow),
		"RateLimit":             fmt.Sprintf(`"track";r=0;t=%d`, wait),
		"Cache-Control":         "no-store",
		"Content-Type":          "application/json",
		"X-Served-By":           serverName,
	} {
		if got[name] != want {
			t.Errorf("got %s: %q, want %q, in\n%s", name, got[name], want, head)
		}
	}
	if reset, err := strconv.ParseInt(got["X-RateLimit-Reset"], 10, 64); err != nil || reset < time.Now().Unix()-1 || reset > time.Now().Unix()+longWindow+1 {
		t.Errorf("got X-RateLimit-Reset %q, want Unix seconds within the next window", got["X-RateLimit-Reset"])
	}
	if _, err := http.ParseTime(got["Date"]); err != nil {
		t.Errorf("got Date %q: %v", got["Date"], err)
	}
	want := ""
	if withBody {
		const format = `{"status":429,"error":"rate limit","message":"Too many requests. Limit to max 6000 per %d seconds. Try again in %d seconds."}`
		want = fmt.Sprintf(format, longWindow, wait)
	}
	if body != want {
		t.Errorf("got body %q, want %q", body, want)
	}
}
