package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// childDir is the environment variable that turns this test binary into a
// client that queues until it is killed.
const childDir = "TRACKWAY_CLIENT_TEST_DIR"

func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if dir, ok := strings.CutPrefix(v, childDir+"="); ok {
			queueForever(dir)
		}
	}
	os.Exit(m.Run())
}

// queueForever queues events, and prints each one's number once it is queued.
func queueForever(dir string) {
	refused := &fake{before: func(int, *http.Request) *http.Response { return reply(503, http.Header{}, "") }}
	c, err := New(Options{URL: "http://ts1", Project: testProject, Token: testToken, Dir: dir, Transport: refused, QueueBytes: 1 << 30})
	for n := 0; err == nil; n++ {
		if err = c.Track(IDs{"registered": "jane"}, fmt.Sprint("e", n), nil); err == nil {
			_, err = fmt.Println(n) //nolint:forbidigo // it runs in a process of its own
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilled checks that queued events survive the end of the process at any
// moment, in order and once.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); said++ {
		if said == 12_345 { // by now there are several segments
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	var f fake
	c := f.open(t, func(o *Options) { o.Dir = dir })
	c.mustClose(t)
	got := f.types()
	if len(got) < said {
		t.Fatalf("%d were queued, %d arrived", said, len(got))
	}
	for i, name := range got {
		if name != fmt.Sprint("e", i) {
			t.Fatalf("got %s at %d", name, i)
		}
	}
	if s := c.Stats(); s.Damaged > 1 {
		t.Errorf("got %+v", s)
	}
	if left := segmentsIn(t, dir); len(left) != 1 {
		t.Errorf("%d segments are left behind: %q", len(left), left)
	}
}

func segmentsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(n int, _ *http.Request) *http.Response {
			if n > 0 { // the first batch arrives
				return reply(503, http.Header{}, "")
			}
			return nil
		}
		c := f.open(t, func(o *Options) { o.Dir = dir })
		for i := range 120 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		if _, err := New(Options{URL: "http://x", Project: "p", Token: "t", Dir: dir}); !errors.Is(err, ErrLocked) {
			t.Errorf("a second client of the directory: got %v, want ErrLocked", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left *UndeliveredError
		if err := c.Close(ctx); !errors.As(err, &left) || left.Commands != 70 || !left.Kept {
			t.Errorf("got %v, want 70 kept", err)
		}
		f.before = nil
		c = f.open(t, func(o *Options) { o.Dir = dir })
		if s := c.Stats(); s.Queued != 70 {
			t.Errorf("got %d queued after a restart, want 70", s.Queued)
		}
		c.mustTrack(t, "e120")
		c.mustClose(t)
		got := f.types()
		for i, name := range got {
			if name != fmt.Sprint("e", i) {
				t.Fatalf("got %s at %d", name, i)
			}
		}
		if len(got) != 121 {
			t.Errorf("got %d events, want 121", len(got))
		}
	})
}

// A damaged file loses the commands after the damage in that segment, and
// nothing else.
func TestDamaged(t *testing.T) {
	t.Parallel()
	fill := func(t *testing.T, dir string) {
		t.Helper()
		for i := range 3 { // one segment each
			d, err := openDisk(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 10 {
				if err := d.push([]byte(fmt.Sprintf("command %d.%d", i, n))); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		left   int
		lost   uint64
	}{
		"cut":            {func(b []byte) []byte { return b[:len(b)-1] }, 29, 1},
		"cut in a head":  {func(b []byte) []byte { return b[:len(b)-15] }, 29, 1},
		"zeros":          {func(b []byte) []byte { return append(b, make([]byte, 100)...) }, 30, 1},
		"a bit":          {func(b []byte) []byte { b[19*4+10] ^= 1; return b }, 24, 6},
		"a length early": {func(b []byte) []byte { b[19*2+1] = 255; return b }, 22, 8},
		"a byte missing": {func(b []byte) []byte { return append(b[:19*6+12], b[19*6+13:]...) }, 26, 4},
		"a length":       {func(b []byte) []byte { b[19*9+3] = 255; return b }, 29, 1},
		"nothing":        {func(b []byte) []byte { return b }, 30, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fill(t, dir)
			file := segmentsIn(t, dir)[1]
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) != 10*(8+11) {
				t.Fatalf("a segment of %d bytes", len(b))
			}
			if err := os.WriteFile(file, c.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := openDisk(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.close() }()
			s := d.state()
			if s.waiting != c.left || s.damaged != c.lost {
				t.Errorf("got %d waiting, %d damaged, want %d, %d", s.waiting, s.damaged, c.left, c.lost)
			}
			if got := drain(t, d); len(got) != c.left || got[len(got)-1] != "command 2.9" || d.state().bytes != 0 {
				t.Errorf("got %q, %d bytes left", got, d.state().bytes)
			}
		})
	}
}

// The client notices damage that happens while it runs, and carries on.
func TestDamagedMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, func(o *Options) { o.Dir, o.Interval = dir, time.Hour })
		for i := range 10 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		files := segmentsIn(t, dir)
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], bytes.Replace(b, []byte("e4"), []byte("e6"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		c.mustTrack(t, "later")
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		c.mustTrack(t, "last")
		c.mustClose(t)
		if got, want := f.types(), []string{"e0", "e1", "e2", "e3", "last"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if s := c.Stats(); s.Damaged != 7 {
			t.Errorf("got %+v, want 7 damaged", s)
		}
	})
}

func drain(t *testing.T, q queue) []string {
	t.Helper()
	var all []string
	for {
		batch, err := q.take(newRoom(maxCommands))
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			return all
		}
		for _, command := range batch {
			all = append(all, string(command))
		}
		if err := q.settle(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "done")
	c, err := openCursor(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		if err := c.write(position{7, i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[512+20] ^= 1 // the slot that was written last
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = openCursor(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	if want := (position{7, 2}); c.last != want {
		t.Errorf("got %+v, want the one before the spoilt one, %+v", c.last, want)
	}
}

// The queue on disk behaves like the queue in memory, whenever it is reopened.
func TestQueueModel(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "") //nolint:usetesting // one for each of many checks
		if err != nil {
			t.Fatal(err)
		}
		d, err := openDisk(dir, true)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.close() }()
		var model, taken []string
		n := 0
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				n++
				command := fmt.Sprint(n, strings.Repeat("x", rapid.IntRange(0, 300_000).Draw(t, "size")))
				check(d.push([]byte(command)))
				model = append(model, command)
			},
			"take": func(t *rapid.T) {
				if len(taken) > 0 {
					t.Skip("some are taken")
				}
				batch, err := d.take(newRoom(3))
				check(err)
				for _, b := range batch {
					if len(model) == 0 || model[0] != string(b) {
						t.Fatalf("got %.10q, want the next", b)
					}
					taken, model = append(taken, model[0]), model[1:]
				}
			},
			"settle": func(*rapid.T) {
				check(d.settle())
				taken = nil
			},
			"drop": func(t *rapid.T) {
				dropped, err := d.drop()
				check(err)
				if dropped != (len(model) > 0) {
					t.Fatalf("got %t with %d waiting", dropped, len(model))
				}
				if dropped {
					model = model[1:]
				}
			},
			"reopen": func(t *rapid.T) {
				if len(taken) > 0 {
					t.Skip("what is dropped meanwhile would come again")
				}
				check(d.settle())
				check(d.close())
				d, err = openDisk(dir, true)
				check(err)
			},
			"": func(t *rapid.T) {
				size := 0
				for _, s := range append(slices.Clone(taken), model...) {
					size += len(s)
				}
				if got, want := d.state(), (state{len(model), int64(size), 0}); got != want {
					t.Fatalf("got %+v, want %+v", got, want)
				}
			},
		})
	})
}

func TestSyncAlways(t *testing.T) {
	t.Parallel()
	var f fake
	c := f.open(t, func(o *Options) { o.Dir, o.Sync = t.TempDir(), SyncAlways })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				c.mustTrack(t, "e")
				d, _ := c.queue.(*disk)
				d.files.Lock()
				synced := d.synced
				d.files.Unlock()
				if synced == 0 {
					t.Error("Track has returned before a sync")
				}
			}
		})
	}
	all.Wait()
	c.mustClose(t)
	if got := len(f.types()); got != 160 {
		t.Errorf("got %d events, want 160", got)
	}
}

func TestFileModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	var f fake
	c := f.open(t, func(o *Options) { o.Dir = dir })
	c.mustTrack(t, "e")
	for _, file := range append(segmentsIn(t, dir), filepath.Join(dir, "done"), filepath.Join(dir, "lock")) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %o, want 600: it holds personal data", file, info.Mode().Perm())
		}
	}
	c.mustClose(t)
}
