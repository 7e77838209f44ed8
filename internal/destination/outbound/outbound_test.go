package outbound

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.15.0.1": true, "172.32.0.1": true, "100.128.0.1": true, "169.253.0.1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "127.0.0.1": false, "127.255.255.254": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.0.2.1": false,
		"192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false,
		"203.0.113.9": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"100.100.100.200": false, // Alibaba's metadata
		"168.63.129.16":   false, // Azure's

		"2606:4700:4700::1111": true, "2a00:1450::1": true,
		"::": false, "::1": false, "::8.8.8.8": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false,
		"fd00:ec2::254": false, // AWS's metadata
		"ff02::1":       false, "100::1": false, "2001::1": false, "2001:db8::1": false, "3fff::1": false, "4000::1": false,

		"::ffff:8.8.8.8": true, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, // mapped
		"64:ff9b::8.8.8.8": true, "64:ff9b::127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, // NAT64
		"2002:808:808::1": true, "2002:7f00:1::": false, "2002:a00:1::1": false, "2002:a9fe:a9fe::": false, // 6to4
		"2a00:1450::5efe:8.8.8.8": true, "2a00:1450::5efe:10.0.0.1": false, "2a00:1450::200:5efe:127.0.0.1": false, // ISATAP
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got public %v, want %v", text, got, want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(server.Close)
	for _, c := range []struct {
		allow []string
		want  bool
	}{
		{nil, false},
		{[]string{"10.0.0.0/8", "example.com"}, false},
		{[]string{"127.0.0.1"}, true},
		{[]string{"::ffff:127.0.0.1"}, true},
		{[]string{"127.0.0.0/8"}, true},
		{[]string{"127.9.9.9/8"}, true},
		{[]string{"10.0.0.0/8", "LOCALHOST"}, false}, // the URL has the address, not the name
	} {
		client := open(t, server.URL, c.allow...)
		_, err := client.Do(t.Context(), http.MethodPost, "", nil, nil)
		reached := client.Reach(t.Context())
		var refused *addressError
		if c.want && (err != nil || reached != nil) {
			t.Errorf("%q: %v, %v", c.allow, err, reached)
		}
		if !c.want && (!errors.As(err, &refused) || !errors.As(reached, &refused)) {
			t.Errorf("%q: got %v and %v, want the address refused", c.allow, err, reached)
		}
	}
	for _, text := range []string{"", "10.0.0.0/99", "http://x", "a b", "x:80", "*"} {
		if _, err := New("http://x", []string{text}, 1, time.Second, 1); err == nil {
			t.Errorf("allow %q was taken", text)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "x", "ftp://secret/", "http://", "http:///secret", "https://:80/", "http://secret:0/", "http://secret:99999/",
		"http://secret/#secret", "http://se cret/", "http://secret:port/",
	} {
		_, err := New(text, nil, 1, time.Second, 1)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The host resolves to a public address at first, and to a loopback address
// when the connection is made.
func TestNameThatTurnsPrivate(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	var address atomic.Value // of netip.Addr
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go answerDNS(there, func() netip.Addr { return address.Load().(netip.Addr) }) // nothing else is stored
		return here, nil
	}}
	address.Store(netip.MustParseAddr("192.0.2.1"))
	found, err := resolver.LookupNetIP(t.Context(), "ip4", "hook.test")
	if err != nil || len(found) != 1 || found[0] != netip.MustParseAddr("192.0.2.1") {
		t.Fatalf("the resolver of this test: %v, %v", found, err)
	}
	address.Store(netip.MustParseAddr("127.0.0.1"))
	client := open(t, "http://hook.test:"+port)
	client.Resolver = resolver
	_, err = client.Do(t.Context(), http.MethodPost, "", nil, nil)
	var refused *addressError
	if !errors.As(err, &refused) || reached.Load() {
		t.Errorf("got %v, reached %v", err, reached.Load())
	}

	client = open(t, "http://hook.test:"+port, "hook.test")
	client.Resolver = resolver
	if _, err := client.Do(t.Context(), http.MethodPost, "", nil, nil); err != nil || !reached.Load() {
		t.Errorf("an allowed name: got %v, reached %v", err, reached.Load())
	}
}

// answerDNS answers one query over a stream with an A record (RFC 1035,
// sections 4.1 and 4.2.2), and any query for another type with no record.
func answerDNS(conn net.Conn, address func() netip.Addr) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		end := 12
		for query[end] != 0 {
			end += int(query[end]) + 1
		}
		question := query[12 : end+5]
		isA := binary.BigEndian.Uint16(query[end+1:]) == 1
		reply := append([]byte{0, 0, query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
		if isA {
			reply[9] = 1
			a := address().As4()
			reply = append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), a[:]...)
		}
		binary.BigEndian.PutUint16(reply, uint16(len(reply)-2))
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
		switch r.URL.Path {
		case "/huge":
			_, _ = io.WriteString(w, long)
		case "/endless":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/silent":
			<-r.Context().Done()
		case "/header":
			w.Header().Set("X", long)
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/cut":
			panic(http.ErrAbortHandler)
		default:
			t.Errorf("somebody asks for %s", r.URL.Path)
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]struct {
		status int
		bytes  int
		err    string
	}{
		"/huge":     {200, 100, ""},
		"/endless":  {202, 5, ""},
		"/redirect": {307, 0, ""},
		"/silent":   {0, 0, "no answer within"},
		"/header":   {0, 0, "the request failed"},
		"/cut":      {0, 0, "the connection ended before the answer"},
	} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			client, err := New(server.URL+path+"?key=secret", []string{"127.0.0.1"}, 2, 300*time.Millisecond, 100)
			if err != nil {
				t.Fatal(err)
			}
			if path != "/silent" {
				client.timeout = time.Minute
				client.BodyTime = 2 * time.Second // what was sent has come by then
			}
			answer, err := client.Do(t.Context(), http.MethodPost, "", nil, []byte("{}"))
			if want.err != "" {
				if err == nil || !strings.Contains(err.Error(), want.err) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %q", err, want.err)
				}
				return
			}
			if err != nil || answer.Status != want.status || len(answer.Body) != want.bytes {
				t.Errorf("got %+v, %v, want %+v", answer, err, want)
			}
		})
	}
}

// A caller that needs the body waits for it.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]string{0: "results", 2 * time.Second: ""} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := &Client{most: 100, BodyTime: limit}
			if got := c.read(&slowBody{ctx: ctx, left: "results"}, cancel); string(got) != want {
				t.Errorf("within %v: got %q, want %q", limit, got, want)
			}
		})
	}
}

// slowBody needs five seconds.
type slowBody struct {
	ctx  context.Context //nolint:containedctx // of the request whose answer this is
	left string
}

func (s *slowBody) Read(b []byte) (int, error) {
	if s.left == "" {
		return 0, io.EOF
	}
	select {
	case <-time.After(5 * time.Second):
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}

// Errors do not say where a request went.
func TestErrorsAreClean(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	tls := httptest.NewTLSServer(nil)
	t.Cleanup(tls.Close)
	tls.Config.ErrorLog = nil
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the resolver of secret.test is down")
	}}
	for name, c := range map[string]struct{ url, want string }{
		"refused":     {strings.Replace(gone.URL, "http://", "http://user:secret@", 1) + "/secret", "the connection was refused"},
		"certificate": {tls.URL + "/secret", "certificate"},
		"no name":     {"http://secret.test/secret", "the host name cannot be resolved"},
		"not HTTPS":   {strings.Replace(tls.URL, "https", "http", 1) + "/secret", ""},
	} {
		client := open(t, c.url, "127.0.0.1")
		client.Resolver = resolver
		answer, err := client.Do(t.Context(), http.MethodPost, "", nil, nil)
		if name == "not HTTPS" {
			if answer == nil || answer.Status != http.StatusBadRequest {
				t.Errorf("%s: got %+v, %v", name, answer, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(strings.ReplaceAll(err.Error(), "resolver of secret", ""), "secret") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "0": 0, "-1": 0, "1.5": 0, "soon": 0,
		"99999":                         time.Hour,
		"99999999999999999999999":       time.Hour,
		"Sun, 29 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 29 Nov 2026 11:00:00 GMT": 0,
		"Mon, 30 Nov 2026 12:00:00 GMT": time.Hour,
	} {
		a := &Answer{Header: http.Header{"Retry-After": {text}}}
		if got := a.RetryAfter(now); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	a := &Answer{Header: http.Header{"Retry-After": {"Sun, 29 Nov 2026 12:00:30 GMT"}, "Date": {"Sun, 29 Nov 2026 12:00:20 GMT"}}}
	if got := a.RetryAfter(now); got != 10*time.Second {
		t.Errorf("by the server's clock: got %v", got)
	}
}

func TestPathsAndHeader(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.String() + " " + r.Header.Get("X-A") + " " + string(body)
	}))
	t.Cleanup(server.Close)
	client := open(t, server.URL+"/base/?q=1", "127.0.0.1")
	for path, want := range map[string]string{"": "POST /base/?q=1 b {}", "x/y": "POST /base/x/y?q=1 b {}"} {
		if _, err := client.Do(t.Context(), http.MethodPost, path, http.Header{"X-A": {"b"}}, []byte("{}")); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", path, got, err, want)
		}
	}
}

func open(t *testing.T, to string, allow ...string) *Client {
	t.Helper()
	c, err := New(to, allow, 2, time.Minute, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
