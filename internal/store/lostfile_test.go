package store

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway"
	"trackway/internal/query"
)

// TestLostFileIsPassedOver: where a whole file of the log is lost, every event that is in others is read, and it is not tried once for each
// of those that are lost.
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
	const lost, kept = 30_000, 100
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
	if err := s.Reclaim(t.Context(), lost+1, lost+kept); err != nil { // into a file of its own, behind the other
		t.Fatal(err)
	}
	uncount(t, s)
	if err := s.db.Close(); err != nil {
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
	if n := reads.Load(); n == 0 || n > lost/2 {
		t.Errorf("files were read %d times for %d events that are lost", n, lost)
	}
}

// lose makes tables that hold a text unreadable as a whole: what says where the rest of it is, near its end, is changed.
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
