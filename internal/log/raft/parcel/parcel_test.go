package parcel

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var contents = map[string]string{"a": "", "b.sst": strings.Repeat("table", 5000), "MANIFEST-1": "x", "OPTIONS": "some\n"}

func fill(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range contents {
		f, err := fs.Create(fs.PathJoin(dir, name), "test")
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// stream returns the whole stream of the contents.
func stream(t *testing.T) []byte {
	t.Helper()
	fs := vfs.NewMem()
	fill(t, fs, "from")
	r, err := Open(fs, "from")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(iotest.HalfReader(r))
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != r.Size() {
		t.Errorf("got %d bytes, announced were %d", len(b), r.Size())
	}
	return b
}

func receiveInto(fs vfs.FS, b []byte) error {
	w, err := Receive(fs, "to", func(string) error { return nil })
	if err != nil {
		return err
	}
	for len(b) > 0 { // a little at a time
		n, err := w.Write(b[:min(len(b), 777)])
		if err != nil {
			break // Close returns it
		}
		b = b[n:]
	}
	return w.Close()
}

// TestParcel: the files arrive as they are, and are on the disk, and nothing
// stays of what was there.
func TestParcel(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	fill(t, fs, "to")
	if f, err := fs.Create("to/more", "test"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if err := receiveInto(fs, stream(t)); err != nil {
		t.Fatal(err)
	}
	if d, err := fs.OpenDir(""); err != nil || d.Sync() != nil || d.Close() != nil {
		t.Fatal(err)
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 1))})
	names, err := after.List("to")
	if err != nil || len(names) != len(contents) {
		t.Fatalf("got %q, %v", names, err)
	}
	for name, want := range contents {
		f, err := after.Open("to/" + name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if string(got) != want || err != nil || f.Close() != nil {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
	}
}

// TestDamage: a stream that has changed anywhere, is cut off anywhere, or goes
// on is refused.
func TestDamage(t *testing.T) {
	t.Parallel()
	whole := stream(t)
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	refused := func(what string, b []byte) {
		t.Helper()
		if err := receiveInto(vfs.NewMem(), b); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for i := range 300 {
		at := i // the head, and some of the rest
		if i > 100 {
			at = random.IntN(len(whole))
		}
		changed := bytes.Clone(whole)
		changed[at] ^= 1 << random.IntN(8)
		refused("a flipped bit", changed)
		refused("cut off", whole[:at])
	}
	refused("one byte less", whole[:len(whole)-1])
	refused("one byte more", append(bytes.Clone(whole), 0))
	for _, name := range []string{"../x", "/etc/x", "", ".", ".."} {
		refused(name, appendHead(nil, []file{{name, 0}}))
	}
	refused("a negative size", appendHead(nil, []file{{"a", -1}}))
}
