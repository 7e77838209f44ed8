package body

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
)

// readOne reads a body in an encoding, announced or not.
func readOne(t *testing.T, in *Intake, sent io.Reader, coding string, length int) (*Body, []byte, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", sent)
	r.Header.Set("Content-Encoding", coding)
	r.ContentLength = int64(length)
	b := new(Body)
	if err := b.Open(in, httptest.NewRecorder(), r, netip.MustParseAddr("192.0.2.1"), Rules{Most: most, Commands: trackway.MaxCommands}); err != nil {
		t.Fatal(err)
	}
	text, err := b.Read(context.Background())
	return b, text, err
}

// TestOnlyForgottenTextsAreOverwritten: the memory of a text goes to other
// bodies only if nobody refers to it any more, whatever its size and encoding.
// The room counts what there is, also if a size is rounded up. No other test
// may use the memory meanwhile, so this one is not parallel.
func TestOnlyForgottenTextsAreOverwritten(t *testing.T) {
	in := NewIntake(64<<20, prometheus.NewRegistry())
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, firstRead, firstRead + 1, 4 * firstRead, 4*firstRead + 1, 16 << 10, 20_000, 24<<10 + 1, 48 << 10, Light - 1, Light, Light + 1, 80_000} {
		for _, coding := range []string{"", "chunked", "gzip", "zstd"} {
			for _, forgotten := range []bool{false, true} {
				want := make([]byte, size)
				for i := range want {
					want[i] = byte('a' + random.IntN(8))
				}
				sent, length, header := want, size, coding
				switch coding {
				case "gzip", "zstd":
					sent = packedText(t, coding, want)
					length = len(sent)
				case "chunked":
					length, header = -1, ""
				}
				b, text, err := readOne(t, in, bytes.NewReader(sent), header, length)
				if err != nil || !bytes.Equal(text, want) {
					t.Fatalf("%d bytes, %q: got %d, %v", size, coding, len(text), err)
				}
				if used := in.Memory.Used(); used < cap(text) {
					t.Errorf("%d bytes, %q: %d are taken, and there are %d", size, coding, used, cap(text))
				}
				if forgotten {
					b.Forgotten()
				}
				b.Release()
				b.Release()
				if forgotten && overwrites && slices.Contains(sizes[:], cap(text)) {
					want = bytes.Repeat([]byte{leftOver}, size)
				}
				for range 10 {
					if !bytes.Equal(text, want) {
						t.Fatalf("%d bytes, %q, forgotten %v: the text has become %.20q", size, coding, forgotten, text)
					}
					if forgotten {
						break // others write into it from now on
					}
					other, _, err := readOne(t, in, bytes.NewReader(make([]byte, size)), "", size)
					if err != nil {
						t.Fatal(err)
					}
					other.Forgotten()
					other.Release()
				}
				if used := in.Memory.Used(); used != 0 {
					t.Errorf("%d bytes, %q: %d are taken in the end", size, coding, used)
				}
			}
		}
	}
}

// TestBrokenTextsAreLeft: a body that could not be read gives its memory to
// nobody, even if it is said to be forgotten.
func TestBrokenTextsAreLeft(t *testing.T) {
	t.Parallel()
	in := NewIntake(64<<20, prometheus.NewRegistry())
	kept := &keeper{size: 20_000}
	b, text, err := readOne(t, in, kept, "", 30_000)
	if err == nil || text != nil {
		t.Fatal(text, err)
	}
	b.Forgotten()
	b.Release()
	want := slices.Clone(kept.into)
	for range 100 {
		other, _, err := readOne(t, in, bytes.NewReader(make([]byte, 30_000)), "", 30_000)
		if err != nil {
			t.Fatal(err)
		}
		other.Forgotten()
		other.Release()
	}
	if !bytes.Equal(kept.into, want) {
		t.Error("another body has its memory")
	}
}

// keeper is a connection that breaks, and knows the last buffer that it was to
// fill.
type keeper struct {
	size int
	into []byte
}

var errBroken = errors.New("broken")

func (k *keeper) Read(b []byte) (int, error) {
	if k.size == 0 {
		return 0, errBroken
	}
	n := min(len(b), k.size)
	for i := range b[:n] {
		b[i] = 'k'
	}
	k.size -= n
	k.into = b[:n]
	return n, nil
}

// TestUsual: buffers of whole bodies have one of a few sizes, and none has
// more than four times what has arrived.
func TestUsual(t *testing.T) {
	t.Parallel()
	for size := range 100_000 {
		got := usual(size)
		if got < size || size > 4*firstRead && size <= 16*firstRead && got > 16*firstRead || (size <= 4*firstRead || size > Light+1) && got != size {
			t.Fatalf("%d bytes: got %d", size, got)
		}
	}
}
