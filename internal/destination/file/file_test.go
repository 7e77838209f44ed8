package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/object/objecttest"
	"trackway/internal/prereq"
	"trackway/internal/scale"
)

const storeID = "5f0e5f0e5f0e5f0e5f0e5f0e5f0e5f0e"

// batch has an event for each number.
func batch(after, through uint64) *destination.Batch {
	b := &destination.Batch{Store: storeID, After: after, Through: through}
	at := trackway.MicrosOf(time.Date(2026, 11, 28, 23, 59, 30, 0, time.UTC))
	for seq := after + 1; seq <= through; seq++ {
		received := at + trackway.Micros(seq)*1_000_000
		b.Events = append(b.Events, destination.Event{
			Seq: seq, Project: "demo", Customer: 1, Type: "page_view", At: received, Received: received, Properties: fmt.Appendf(nil, `{"n":%d}`, seq),
		})
	}
	return b
}

func settings(path, format string) config.Destination {
	return config.Destination{Name: "out", Kind: "file", Path: path, Format: format}
}

// send sends everything from the destination's position up to a number.
func send(ctx context.Context, s *Sink, through uint64, step func() uint64) error {
	p, err := s.Prepare(ctx)
	if err != nil {
		return err
	}
	for after := p.Number; after < through; {
		next := min(through, after+step())
		if _, err := s.Write(ctx, batch(after, next)); err != nil {
			return err
		}
		after = next
	}
	return nil
}

// wantEvents reads all files.
func wantEvents(t *testing.T, s *Sink, through uint64) {
	t.Helper()
	want := uint64(1)
	if err := s.Events(t.Context(), 0, through+1, func(e *destination.Event) bool {
		if e.Seq != want {
			t.Fatalf("got event %d, want %d", e.Seq, want)
		}
		want++
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if want != through+1 {
		t.Fatalf("the events from %d to %d are missing", want, through)
	}
}

var errDisk = errors.New("no space left on device")

// TestSteps makes the file system fail at each step, once or permanently.
func TestSteps(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"ndjson", "parquet"} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprint(format, ", forever: ", forever), func(t *testing.T) {
				t.Parallel()
				for at, failed := 1, true; failed; at++ {
					failed = false
					d := settings(filepath.Join(t.TempDir(), "out"), format)
					n := 0
					s, err := newSink(d, storeID, func(string) error {
						if n++; n == at || forever && n > at {
							failed = true
							return errDisk
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					steps := []uint64{7, 3, 40, 1}
					step := func() uint64 { steps = append(steps[1:], steps[0]); return steps[0] }
					err = send(t.Context(), s, 60, step)
					if failed != (err != nil) || err != nil && !errors.Is(err, errDisk) {
						t.Fatalf("step %d: got %v", at, err)
					}
					s.folder.step = func(string) error { return nil }
					if forever {
						if s, err = New(d, storeID); err != nil {
							t.Fatal(err)
						}
					}
					if err := send(t.Context(), s, 70, func() uint64 { return 11 }); err != nil {
						t.Fatalf("after a failure at step %d: %v", at, err)
					}
					wantEvents(t, s, 70)
					if left, _ := os.ReadDir(filepath.Join(d.Path, unfinished)); len(left) > 0 {
						t.Errorf("step %d: left %v", at, left)
					}
				}
			})
		}
	}
}

// TestLockEnds keeps a copy of the lock's descriptor, as a starting process
// does. The lock must end nevertheless.
func TestLockEnds(t *testing.T) {
	t.Parallel()
	s, err := New(settings(filepath.Join(t.TempDir(), "out"), "ndjson"), storeID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = s.locked(func() error {
		var lock, other syscall.Stat_t
		if err := syscall.Stat(s.folder.path(lockName), &lock); err != nil {
			return err
		}
		for fd := range 1000 {
			if syscall.Fstat(fd, &other) == nil && other.Ino == lock.Ino && other.Dev == lock.Dev {
				duplicate, err := syscall.Dup(fd)
				t.Cleanup(func() { _ = syscall.Close(duplicate) })
				return err
			}
		}
		return errors.New("the descriptor was not found")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.locked(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

const (
	childFolder = "TRACKWAY_TEST_FILE_FOLDER"
	childFormat = "TRACKWAY_TEST_FILE_FORMAT"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" { //nolint:forbidigo // of the parent
		child(folder, os.Getenv(childFormat)) //nolint:forbidigo // the same
		return
	}
	os.Exit(m.Run())
}

// child writes until it is killed, and prints what it has written.
func child(folder, format string) {
	s, err := New(settings(folder, format), storeID)
	if err != nil {
		panic(err)
	}
	p, err := s.Prepare(context.Background())
	if err != nil {
		panic(err)
	}
	for after := p.Number; ; {
		next := after + 1 + rand.Uint64N(50)
		if _, err := s.Write(context.Background(), batch(after, next)); err != nil {
			panic(err)
		}
		if _, err := fmt.Fprintln(os.Stdout, next); err != nil {
			return
		}
		after = next
	}
}

// TestKill kills the process at random moments. All acknowledged events must be
// there, and none twice.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"ndjson", "parquet"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "out")
			acknowledged := uint64(0)
			for range scale.Of(20, 5) {
				run := exec.CommandContext(t.Context(), os.Args[0])
				run.Env = append(os.Environ(), childFolder+"="+folder, childFormat+"="+format)
				run.Stderr = os.Stderr
				out, err := run.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := run.Start(); err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(out)
				for range 1 + rand.IntN(8) {
					lines.Scan()
				}
				go func() { _ = run.Process.Signal(syscall.SIGKILL) }() // anywhere in a write
				for {
					if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
						t.Fatal(err)
					}
					if !lines.Scan() {
						break
					}
				}
				_ = run.Wait()
			}
			s, err := New(settings(folder, format), storeID)
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if p.Number < acknowledged {
				t.Errorf("the position is %d, and %d was acknowledged", p.Number, acknowledged)
			}
			wantEvents(t, s, p.Number)
			objecttest.Program(t, "python3", prereq.DuckDB)
			want := fmt.Sprintf("%d|%d|%d", p.Number, p.Number, p.Number)
			if got := objecttest.Text(objecttest.Query(t, s.DDL()+"SELECT count(*), count(DISTINCT seq), max(seq) FROM events")); got != want {
				t.Errorf("DuckDB counts %s, want %s", got, want)
			}
		})
	}
}

// TestOneWriter: a process is refused while another one is writing.
func TestOneWriter(t *testing.T) {
	t.Parallel()
	d := settings(filepath.Join(t.TempDir(), "out"), "ndjson")
	first, err := New(d, storeID)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), first, 5, func() uint64 { return 5 }); err != nil {
		t.Fatal(err)
	}
	var inside error
	second, err := newSink(d, storeID, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	first.folder.step = func(string) error {
		if inside == nil {
			_, inside = second.Prepare(t.Context())
		}
		return nil
	}
	if _, err := first.Write(t.Context(), batch(5, 6)); err != nil {
		t.Error(err)
	}
	if !errors.Is(inside, errLocked) {
		t.Errorf("during a write: got %v, want %v", inside, errLocked)
	}
	first.folder.step = func(string) error { return nil }
	if err := send(t.Context(), second, 10, func() uint64 { return 2 }); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Write(t.Context(), batch(6, 9)); err == nil {
		t.Error("a process that was replaced wrote")
	}
	var final *destination.FinalError
	if _, err := first.Prepare(t.Context()); !errors.As(err, &final) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a process that was replaced: got %v", err)
	}
	wantEvents(t, second, 10)
}

// TestTail follows a file with names that stay.
func TestTail(t *testing.T) {
	t.Parallel()
	d := settings(filepath.Join(t.TempDir(), "out"), "ndjson")
	s, err := New(d, storeID)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), s, 200, func() uint64 { return 1 }); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(d.Path, "events", "dt=2026-*", "*.ndjson"))
	if err != nil || len(files) != 2 { // a day each
		t.Fatalf("got %v, %v, want two files", files, err)
	}
	data, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"seq":30,"project":"demo","customer":1,"type":"page_view","at":"2026-11-29T00:00:00.000000Z","received_at":"2026-11-29T00:00:00.000000Z","properties":{"n":30}}` + "\n"
	if first, _, _ := strings.Cut(string(data), "\n"); first+"\n" != want {
		t.Errorf("got %s, want %s", first, want)
	}
}

// TestLinkedDay erases data in a day whose folder an operator has replaced by a
// link to another place.
func TestLinkedDay(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "out")
	s, err := New(settings(root, "ndjson"), storeID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := destination.Event{Seq: 1, Project: "demo", Customer: 1, Type: "visit", At: 1, Received: 1, Properties: []byte(`{"mail":"SECRET"}`)}
	if _, err := s.Write(t.Context(), &destination.Batch{Store: storeID, Through: 1, Events: []destination.Event{e}}); err != nil {
		t.Fatal(err)
	}
	day, elsewhere := filepath.Join(root, "events", "dt=1970-01-01"), filepath.Join(root, "elsewhere")
	if err := errors.Join(os.Rename(day, elsewhere), os.Symlink(elsewhere, day)); err != nil {
		t.Fatal(err)
	}
	e.Properties = []byte(`{}`)
	if _, err := s.Write(t.Context(), &destination.Batch{Store: storeID, After: 1, Through: 1, Rewritten: []destination.Event{e}}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(elsewhere, "*1000000.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || len(text) == 0 || strings.Contains(string(text), "SECRET") {
		t.Errorf("got %s, %v", text, err)
	}
	// The remains of a failed write are removed, and the other objects of the
	// day stay.
	if _, err := s.folder.Create(t.Context(), "events/dt=1970-01-01/new.ndjson", []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.folder.Delete(t.Context(), "events/dt=1970-01-01/new.ndjson"); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 1)
}
