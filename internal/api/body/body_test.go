package body

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/api/room"
)

const most = 1 << 20

// server reads bodies, in memory and, in a bubble of synctest, in its time.
type server struct {
	reg   *prometheus.Registry
	in    *Intake
	conns chan net.Conn
	after func(*Body) // what is done with a body that was read

	mu    sync.Mutex
	texts map[string]int // length of what was read, by path
}

func newServer(t *testing.T, memory int) *server {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := &server{reg: reg, in: NewIntake(memory, reg), conns: make(chan net.Conn), texts: map[string]int{}, after: func(*Body) {}}
	h := &http.Server{Handler: s, Protocols: new(http.Protocols)}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- h.Serve(s) }()
	t.Cleanup(func() {
		_ = h.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// ServeHTTP reads a body of the address that the field From names.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, err := netip.ParseAddr(r.Header.Get("From"))
	if err != nil {
		panic(err)
	}
	var b Body
	defer b.Release()
	err = b.Open(s.in, w, r, who, Rules{Most: most, Commands: trackway.MaxCommands})
	var text []byte
	if err == nil {
		text, err = b.Read(r.Context())
	}
	if err != nil {
		known := err.(*trackway.Error) //nolint:errorlint // as documented
		w.Header().Set("Connection", "close")
		w.WriteHeader(map[trackway.Code]int{trackway.Overloaded: 503, trackway.TooLarge: 413, trackway.Invalid: 400}[known.Code])
		_, _ = io.WriteString(w, known.Msg)
		return
	}
	s.mu.Lock()
	s.texts[r.URL.Path] = len(text)
	s.mu.Unlock()
	s.after(&b)
}

func (s *server) Accept() (net.Conn, error) {
	conn, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (s *server) Close() error {
	close(s.conns)
	return nil
}

func (s *server) Addr() net.Addr { return &net.UnixAddr{} }

// dial is [net.Dialer.DialContext].
func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case s.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// request is a body that is sent.
type request struct {
	frames bool   // by HTTP/2
	from   string // an address
	path   string
	length int64 // that is announced; below 0: none
	coding string
	body   io.Reader
}

// answer is what a request got.
type answer struct {
	status int
	text   string
	after  time.Duration
}

// send sends a request, and calls then with the answer, one answer at a time.
func (s *server) send(t *testing.T, q request, then func(answer)) {
	t.Helper()
	transport := &http.Transport{DialContext: s.dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!q.frames)
	transport.Protocols.SetUnencryptedHTTP2(q.frames)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server/"+q.path, q.body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = q.length
	r.Header.Set("From", q.from)
	if q.coding != "" {
		r.Header.Set("Content-Encoding", q.coding)
	}
	began := time.Now()
	go func() {
		defer transport.CloseIdleConnections()
		got := answer{}
		res, err := transport.RoundTrip(r)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(res.Body)
			defer func() { _ = res.Body.Close() }() // which waits for the request's body
			got.status, got.text = res.StatusCode, string(text)
		}
		if err != nil {
			got.text += err.Error()
		}
		got.after = time.Since(began)
		s.mu.Lock()
		defer s.mu.Unlock()
		then(got)
	}()
}

// refused returns how many bodies were refused for a reason, as the metrics
// have it.
func (s *server) refused(t *testing.T, why string) int {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if label := m.GetLabel(); len(label) == 1 && label[0].GetValue() == why {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	t.Fatalf("nothing is counted as %s", why)
	return 0
}

// trickle is a body that comes in pieces, one after each pause, and then
// nothing more.
type trickle struct {
	pieces, size int
	pause        time.Duration
	rest         chan struct{} // closed: the body ends; nil: it ends with the last piece
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.pieces == 0 {
		if b.rest != nil {
			<-b.rest
		}
		return 0, io.EOF
	}
	b.pieces--
	time.Sleep(b.pause) //nolint:forbidigo // the time of the bubble
	n := copy(p, make([]byte, b.size))
	if b.pieces == 0 && b.rest == nil {
		return n, io.EOF
	}
	return n, nil
}

// A body that arrives at the minimum rate is accepted, whatever protocol
// carries it. A body that is slower, or stops, is given up, and its memory is
// released.
func TestLeastRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   trickle
		length int64
		status int
		after  time.Duration // or a little earlier
	}{
		"at the least rate":      {trickle{pieces: 40, size: leastRate, pause: time.Second}, 40 * leastRate, 200, 40 * time.Second},
		"with a pause":           {trickle{pieces: 4, size: 100, pause: 3 * time.Second}, 400, 200, 12 * time.Second},
		"nothing comes":          {trickle{}, 64 << 10, 503, grace},
		"nothing of a small one": {trickle{}, 100, 503, grace},
		"it stops":               {trickle{pieces: 5, size: 50 << 10, pause: time.Second}, 1 << 20, 503, 5*time.Second + grace},
		"too slow":               {trickle{pieces: 1000, size: leastRate / 2, pause: time.Second}, 1000 * leastRate / 2, 503, 2*grace - 2*time.Second},
		"for too long":           {trickle{pieces: 1000, size: leastRate, pause: time.Second}, 1000 * leastRate, 503, mostTime},
	} {
		for _, frames := range []bool{false, true} {
			for _, length := range []int64{c.length, -1} {
				synctest.Test(t, func(t *testing.T) {
					s := newServer(t, 256<<20)
					body := c.body
					rest := make(chan struct{})
					if c.status != 200 {
						body.rest = rest
					}
					var got answer
					s.send(t, request{frames: frames, from: "192.0.2.1", length: length, body: &body}, func(a answer) { got = a })
					wait(2 * mostTime)
					close(rest)
					wait(2 * mostTime)
					if got.status != c.status || got.after < c.after-grace/8 || got.after > c.after+2*time.Second {
						t.Errorf("%s, HTTP/2 %v, length %d: got %d after %s, want %d after %s: %s", name, frames, length, got.status, got.after, c.status, c.after, got.text)
					}
					if used := s.in.Memory.Used(); used != 0 {
						t.Errorf("%s: %d bytes are taken in the end", name, used)
					}
				})
			}
		}
	}
}

// wait waits until everybody else waits, too.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A body takes memory for what has arrived, not for what is announced.
// Addresses that announce a lot and send nothing take no memory. If they send a
// little, the slowest of them lose their memory to others.
func TestRoomIsTakenAsBytesCome(t *testing.T) {
	t.Parallel()
	const readers = 540 // with 48 KiB each, more than is for readers
	for name, c := range map[string]struct {
		sent    int  // of 64 KiB that are announced
		dropped bool // some of them
	}{"nothing": {0, false}, "half of it": {30 << 10, true}} {
		for _, frames := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, 32<<20)
				rest := make(chan struct{})
				lost := 0
				for i := range readers {
					body := &trickle{pieces: min(c.sent, 1), size: c.sent, rest: rest}
					q := request{frames: frames, from: fmt.Sprintf("192.0.2.%d", i%4), path: "slow", length: 64 << 10, body: body}
					s.send(t, q, func(answer) { lost++ })
				}
				wait(5 * time.Second)
				if used := s.in.Memory.Used(); used > readers*max(firstRead, 4*c.sent) {
					t.Errorf("%s: %d bytes are taken", name, used)
				}
				const large = 1_000_000 // which needs more than is left
				var got answer
				s.send(t, request{frames: frames, from: "198.51.100.1", path: "large", length: large, body: bytes.NewReader(make([]byte, large))}, func(a answer) { got = a })
				wait(5 * time.Second)
				if got.status != 200 || s.texts["/large"] != large {
					t.Errorf("%s, HTTP/2 %v: one who sends all of it gets %d %s", name, frames, got.status, got.text)
				}
				if (lost > 0) != c.dropped {
					t.Errorf("%s, HTTP/2 %v: %d of the slow ones have lost theirs", name, frames, lost)
				}
				if n := s.refused(t, dropped); n != lost {
					t.Errorf("%s: %d are counted as dropped, want %d", name, n, lost)
				}
				close(rest)
				wait(2 * mostTime)
				if used := s.in.Memory.Used(); used != 0 {
					t.Errorf("%s: %d bytes are taken in the end", name, used)
				}
			})
		}
	}
}

// packed returns n bytes as a client may send them. They shrink about as much
// as events do.
func packed(t *testing.T, coding string, n int) []byte {
	t.Helper()
	text, random := make([]byte, n), rand.New(rand.NewPCG(1, 2))
	for i := 0; i < n; i += 32 {
		text[i] = byte(random.Uint32())
	}
	return packedText(t, coding, text)
}

// packedText returns a text as a client may send it.
func packedText(t *testing.T, coding string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Large bodies are inflated one at a time for one address, and few in all.
// Small ones never wait.
func TestLargeWait(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"", "gzip", "deflate", "zstd"} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, 64<<20)
			s.in.Large = room.NewPlaces(2, 1)
			hold := make(chan struct{})
			s.after = func(b *Body) {
				if b.large {
					<-hold
				}
			}
			answers := map[string][]int{}
			send := func(from string, n int) {
				body := make([]byte, n)
				if coding != "" {
					body = packed(t, coding, n)
				}
				q := request{from: from, path: from, length: int64(len(body)), coding: coding, body: bytes.NewReader(body)}
				s.send(t, q, func(a answer) { answers[from] = append(answers[from], a.status) })
				synctest.Wait()
			}
			const large = 10 * Light
			sent := len(packed(t, "gzip", large)) // and about as much in the other codings
			for range 20 {
				send("192.0.2.1", large)
			}
			if got := s.in.Large.Counts(); got.Taken != 1 || got.Waiting != 19 {
				t.Errorf("%s: of one address %d are worked on and %d wait", coding, got.Taken, got.Waiting)
			}
			// A body that waits holds what was sent, in a buffer that grew
			// fourfold.
			bound := 2*large + DecodingTakes(make([]byte, large), trackway.MaxCommands) + 19*5*sent
			if coding == "" {
				bound = 20*large + DecodingTakes(make([]byte, large), trackway.MaxCommands) // it has come whole
			}
			if used := s.in.Memory.Used(); used > bound {
				t.Errorf("%s: %d bytes are taken, want at most %d", coding, used, bound)
			}
			send("192.0.2.1", Light)
			if got := answers["192.0.2.1"]; len(got) != 1 || got[0] != 200 {
				t.Errorf("%s: a small body of the same address waits: got %d", coding, got)
			}
			send("192.0.2.2", large)
			if s.texts["/192.0.2.2"] != large {
				t.Errorf("%s: another address waits", coding)
			}
			send("192.0.2.3", large)
			if got := s.in.Large.Counts(); got.Taken != 2 || got.Waiting != 20 {
				t.Errorf("%s: of all addresses %d are worked on and %d wait", coding, got.Taken, got.Waiting)
			}
			wait(patience + time.Second)
			if got := answers["192.0.2.1"]; len(got) != 20 || got[19] != 503 {
				t.Errorf("%s: those who waited for long get %d", coding, got)
			}
			close(hold)
			synctest.Wait()
			if used, places := s.in.Memory.Used(), s.in.Large.Counts().Taken; used != 0 || places != 0 {
				t.Errorf("%s: %d bytes and %d places are taken in the end", coding, used, places)
			}
		})
	}
}

// TestMuchOfNothingWaits: a body keeps its place while it is decoded, too,
// because it takes time to find that a million empty texts are nothing.
func TestMuchOfNothingWaits(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"gzip", "zstd"} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, 64<<20)
			s.in.Large = room.NewPlaces(1, 1)
			other := netip.MustParseAddr("192.0.2.2")
			s.in.Large.TryEnter(other)
			body := bytes.Repeat(packed(t, coding, 0), 10_000)
			if coding == "zstd" {
				body = bytes.Repeat([]byte("\x50\x2a\x4d\x18\x00\x00\x00\x00"), 10_000) // frames to skip
			}
			q := request{from: "192.0.2.1", path: "x", length: int64(len(body)), coding: coding, body: bytes.NewReader(body)}
			var got answer
			s.send(t, q, func(a answer) { got = a })
			synctest.Wait()
			if n := s.in.Large.Counts().Waiting; got.status != 0 || n != 1 {
				t.Errorf("%s: got %+v, and %d wait", coding, got, n)
			}
			s.in.Large.Leave(other)
			synctest.Wait()
			if got.status != 200 || s.texts["/x"] != 0 {
				t.Errorf("%s: got %+v", coding, got)
			}
		})
	}
}

// A small body that inflates to a large one is refused long before all of it is
// inflated. A body of up to Light bytes is not.
func TestBombs(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"gzip", "deflate", "zstd"} {
		for n, want := range map[int]int{Light: 200, 2 * Light: 413, most: 413} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, 64<<20)
				body := packedText(t, coding, make([]byte, n))
				var got answer
				s.send(t, request{from: "192.0.2.1", path: "x", length: int64(len(body)), coding: coding, body: bytes.NewReader(body)}, func(a answer) { got = a })
				synctest.Wait()
				if got.status != want || want == 413 && !strings.Contains(got.text, "100 times") {
					t.Errorf("%s of %d bytes in %d: got %d %s", coding, n, len(body), got.status, got.text)
				}
				if used := s.in.Memory.Used(); used != 0 {
					t.Errorf("%s: %d bytes are taken in the end", coding, used)
				}
			})
		}
	}
}

// An address whose large body was refused has no place for the next one for a
// second. Others have.
func TestBombsPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 64<<20)
		s.in.Large = room.NewPlaces(1, 1)
		answers := map[string][]answer{}
		send := func(from string, body []byte) {
			q := request{from: from, path: "x", length: int64(len(body)), coding: "gzip", body: bytes.NewReader(body)}
			s.send(t, q, func(a answer) { answers[from] = append(answers[from], a) })
			synctest.Wait()
		}
		bomb, honest := packedText(t, "gzip", make([]byte, most)), packed(t, "gzip", 2*Light)
		send("192.0.2.1", bomb)
		send("192.0.2.1", honest)
		send("192.0.2.2", honest)
		s.mu.Lock() // an answer is still to come
		if a, b := answers["192.0.2.1"], answers["192.0.2.2"]; len(a) != 1 || a[0].status != 413 || len(b) != 1 || b[0].status != 200 {
			t.Errorf("at once: got %+v and, from elsewhere, %+v", a, b)
		}
		s.mu.Unlock()
		wait(wastePause)
		if a := answers["192.0.2.1"]; len(a) != 2 || a[1].status != 200 || a[1].after < wastePause {
			t.Errorf("a second later: got %+v", a)
		}
	})
}

// So does an address whose body was read in vain.
func TestInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 64<<20)
		s.in.Large = room.NewPlaces(1, 1)
		s.after = (*Body).InVain
		text := strings.Repeat(" ", 2*Light)
		s.send(t, request{from: "192.0.2.1", path: "x", length: int64(len(text)), body: strings.NewReader(text)}, func(answer) {})
		synctest.Wait()
		mine, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		if s.in.Large.EnterAtOnce(mine) || !s.in.Large.EnterAtOnce(other) {
			t.Error("at once: the address has a place, or another has none")
		}
		s.in.Large.Leave(other)
		wait(wastePause)
		if !s.in.Large.EnterAtOnce(mine) {
			t.Error("a second later: the address has no place")
		}
		s.in.Large.Leave(mine)
	})
}

// TestInflatedBound: inflating ends at the first byte over the bound, and takes
// no more memory than that.
func TestInflatedBound(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"gzip", "deflate", "zstd"} {
		for n, want := range map[int]int{most: 200, most + 1: 413, 8 * most: 413} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, 64<<20)
				body := packed(t, coding, n)
				var got answer
				s.send(t, request{from: "192.0.2.1", path: "x", length: int64(len(body)), coding: coding, body: bytes.NewReader(body)}, func(a answer) { got = a })
				synctest.Wait()
				if got.status != want || want == 200 && s.texts["/x"] != n {
					t.Errorf("%s of %d bytes: got %d, %d bytes: %s", coding, n, got.status, s.texts["/x"], got.text)
				}
				if used := s.in.Memory.Used(); used != 0 {
					t.Errorf("%s: %d bytes are taken in the end", coding, used)
				}
			})
		}
	}
}

// TestMost: an address's share of the memory is enough for the largest body
// that is accepted, and a server with little memory accepts smaller ones.
func TestMost(t *testing.T) {
	t.Parallel()
	for memory, least := range map[int]int{256 << 20: trackway.MaxCommands*trackway.MaxEventBytes + 64<<10, 16 << 20: trackway.MaxEventBytes + 16<<10} {
		in := NewIntake(memory, prometheus.NewRegistry())
		n := in.Most()
		if n < least || 3*n > in.Memory.Share() || n+DecodingTakes(make([]byte, n), trackway.MaxCommands) > in.Memory.Share() {
			t.Errorf("with %d bytes a body may have %d, want %d, and that an address's share is enough", memory, n, least)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 2<<20)
		n := s.in.Most()
		for length, want := range map[int]int{n: 200, n + 1: 413} {
			for _, announced := range []int64{int64(length), -1} {
				var got answer
				body := strings.NewReader(strings.Repeat(" ", length))
				s.send(t, request{from: "192.0.2.1", length: announced, body: body}, func(a answer) { got = a })
				synctest.Wait()
				if got.status != want {
					t.Errorf("%d of at most %d bytes: got %d %s", length, n, got.status, got.text)
				}
			}
		}
	})
}
