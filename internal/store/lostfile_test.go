package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/scale"
)

// TestLostFileIsPassedOver: if a whole file of the log is lost, every event in
// other files is read, and the lost file is not tried once for each of its
// events.
func TestLostFileIsPassedOver(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			reads.Add(1)
		}
		return nil
	}))
	const kept = 100
	lost := scale.Of(30_000, 21_000)
	s := openPlain(t, mem)
	fill := func(from, n int, text string) {
		cmds := make([]trackway.Command, n)
		for i := range cmds {
			cmds[i] = event("e", trackway.Micros(from+i), map[string]string{"p": quoted(text)}, cookie1)
		}
		mustApply(t, s, cmds...)
	}
	fill(1, lost, "lost")
	compactAll(t, s)
	fill(lost+1, kept, "kept")
	// Reclaim moves them into a separate file, after the other one.
	if err := s.Reclaim(t.Context(), uint64(lost+1), uint64(lost+kept)); err != nil {
		t.Fatal(err)
	}
	uncount(t, s)
	s.used.Stop()
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if n := lose(t, mem, `"lost"`); n != 1 {
		t.Fatalf("the events are in %d files", n)
	}
	s, _ = openDamaged(t, fs)
	if n := allCounted(t, s); n != kept {
		t.Errorf("%d events are counted, want %d", n, kept)
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	read, missed := 0, 0
	reads.Store(0)
	err := v.Log(query.LogRange{Lost: func(uint64, error) { missed++ }}, func(*trackway.Event) bool { read++; return true })
	if read != kept || missed != lost || err != nil {
		t.Errorf("read %d events, %d are lost; want %d and %d: %v", read, missed, kept, lost, err)
	}
	if n := reads.Load(); n == 0 || n > int64(lost/2) {
		t.Errorf("files were read %d times for %d events that are lost", n, lost)
	}
	reads.Store(0)
	changes := changesOf(t, s, 0) // the customer's change, in another file, is among them
	if n := reads.Load(); n == 0 || n > int64(lost/2) {
		t.Errorf("files were read %d times for the changes, with %d events that are lost", n, lost)
	}
	if n := len(changes); n != lost+1+kept || changes[lost-1] != fmt.Sprint("lost ", lost) || changes[lost] != "changed 1" || changes[lost+1] != "e" {
		t.Errorf("%d changes, want %d: %q", n, lost+1+kept, changes[lost-1:min(n, lost+2)])
	}
}

// lose makes tables that contain a text unreadable as a whole: it changes a
// byte near the end, in the part that locates everything else.
func lose(t *testing.T, fs vfs.FS, text string) (files int) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = fs.PathJoin("data", name)
		if !strings.HasSuffix(name, ".sst") || !strings.Contains(string(readFile(t, fs, name)), text) {
			continue
		}
		data := readFile(t, fs, name)
		data[len(data)-150] ^= 0x40
		overwrite(t, fs, name, data)
		files++
	}
	return files
}

// TestLostEventsHideNoOtherChange: lost events are reported as lost, and the
// changes between them, which are in another file, are reported as usual.
func TestLostEventsHideNoOtherChange(t *testing.T) {
	t.Parallel()
	var lost atomic.Pointer[string] // name of a file
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if lost := lost.Load(); op.Kind == errorfs.OpFileReadAt && lost != nil && strings.HasSuffix(op.Path, *lost) {
			return errors.New("bad sector")
		}
		return nil
	}))
	s := openPlain(t, mem)
	fill := quoted(strings.Repeat("x", 100_000)) // so that each is in its own block
	for i := range 5 {
		mustApply(t, s, event("e", trackway.Micros(i+1), map[string]string{"p": fill}, identifierOf("cookie", strconv.Itoa(i))))
	}
	compactAll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openDamaged(t, fs) // this reads the last events
	names, err := mem.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") && strings.Contains(string(readFile(t, mem, mem.PathJoin("data", name))), fill) {
			lost.Store(&name)
		}
	}
	want := []string{"lost 1", "changed 1", "lost 3", "changed 2", "lost 5", "changed 3"}
	if got := changesOf(t, s, 0); len(got) != 10 || !slices.Equal(got[:6], want) {
		t.Errorf("got %q, want %q and four more", got, want)
	}
	if got := newestOf(t, s, 10); len(got) > 1 { // the last is in the cache
		t.Errorf("got %q of a file that is lost", got)
	}
	lost.Store(nil)
}
