package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/scale"
	"trackway/internal/store/backup"
)

var backupTime = time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)

func mustBackup(tb testing.TB, s *Store, keep int) Backup {
	tb.Helper()
	b, err := backup.Make(tb.Context(), s.Source(), "backups", backupTime, keep)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// restored restores the newest backup on fs to a new directory, and opens it.
func restored(tb testing.TB, fs *vfs.MemFS, from string) *Store {
	tb.Helper()
	dir := fmt.Sprintf("restored-%d", rand.Uint64())
	if _, err := restore(tb.Context(), fs, from, dir); err != nil {
		tb.Fatal(err)
	}
	s, err := Open(dir, Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	mustBeConsistent(tb, s)
	return s
}

// dump returns all keys and values.
func dump(tb testing.TB, s *Store) map[string]string {
	tb.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	all := make(map[string]string)
	for it.First(); it.Valid(); it.Next() {
		all[string(it.Key())] = string(it.Value())
	}
	if err := it.Close(); err != nil {
		tb.Fatal(err)
	}
	return all
}

// load applies n requests of the kinds that the crash test uses.
func load(tb testing.TB, s *Store, from, n int) {
	tb.Helper()
	for i := range n {
		r := request{n: from + i, kind: requestKind((from + i) % int(requestKinds))}
		if err := r.send(s); err != nil {
			tb.Fatal(err)
		}
	}
	// Save and sync, so that nothing changes in the background.
	if err := errors.Join(s.counts.Save(), s.Sync()); err != nil {
		tb.Fatal(err)
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	defer func() { _ = s.Close() }()
	load(t, s, 1, 200)
	want := dump(t, s)
	first := mustBackup(t, s, 3)
	if first.Seq != s.nextSeq-1 || first.Kept != 0 || first.Generations != 1 || first.Bytes == 0 {
		t.Errorf("got %+v, want all of a store with %d events in one new generation", first, s.nextSeq-1)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	load(t, s, 201, 100)
	second := mustBackup(t, s, 3)
	load(t, s, 301, 10)
	third := mustBackup(t, s, 3)
	// A compaction may happen in between.
	if third.Kept <= third.Linked || third.Kept > second.Kept+second.Linked {
		t.Errorf("the third is %+v after %+v: want its tables, which are in the second, to be shared with that", third, second)
	}
	if !third.At.After(second.At) || !second.At.After(first.At) {
		t.Errorf("a clock that stands still made generations of %v, %v, %v", first.At, second.At, third.At)
	}
	if diff := cmp.Diff(dump(t, s), dump(t, restored(t, fs, "backups"))); diff != "" {
		t.Errorf("restored from the newest (-want): %s", diff)
	}
	if diff := cmp.Diff(want, dump(t, restored(t, fs, first.Path))); diff != "" {
		t.Errorf("restored from the first (-want): %s", diff)
	}
	fourth := mustBackup(t, s, 2)
	names, err := fs.List("backups")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{fs.PathBase(third.Path), fs.PathBase(fourth.Path), "LOCK"}, names); diff != "" || fourth.Generations != 2 {
		t.Errorf("two of four generations are kept; in the directory are (-want): %s", diff)
	}
	if names, err := fs.List("data"); err != nil || slices.Contains(names, stagingName) {
		t.Errorf("the store's directory has %v (%v): want no checkpoint left", names, err)
	}
}

// TestBackupOnDisk uses the operating system's files: a restored store is
// independent of the backup and of the original.
func TestBackupOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "store"), Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, 1, 50)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	backups := filepath.Join(dir, "deep", "backups")
	b, err := backup.Make(t.Context(), s.Source(), backups, backupTime, 1)
	if err != nil || b.Linked == 0 {
		t.Fatalf("%+v, %v: want tables linked", b, err)
	}
	want := dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "elsewhere", "store")
	got, err := Restore(t.Context(), backups, to)
	if err != nil || got.Seq != b.Seq || got.Bytes != b.Bytes {
		t.Fatalf("restored %+v of %+v: %v", got, b, err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "store")), os.RemoveAll(backups)); err != nil {
		t.Fatal(err)
	}
	s, err = Open(to, Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, dump(t, s)); diff != "" {
		t.Error(diff)
	}
	load(t, s, 51, 50)
	mustBeConsistent(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBackupUnderLoad: a restored store is the original at one moment, and
// contains everything acknowledged before the backup began.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	defer func() { _ = s.Close() }()
	var mu sync.Mutex
	acked := make(map[string]bool)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				typ := fmt.Sprintf("%d.%d", w, n)
				cmds := []trackway.Command{event(typ, trackway.Micros(n), nil, identifierOf("cookie", fmt.Sprintf("%d.%d", w, n/100)))}
				if err := s.Apply(cmds, make([]trackway.Result, 1)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acked[typ] = true
				mu.Unlock()
			}
		})
	}
	for range 5 {
		mu.Lock()
		before := make([]string, 0, len(acked))
		for typ := range acked {
			before = append(before, typ)
		}
		mu.Unlock()
		b := mustBackup(t, s, 2)
		r := restored(t, fs, "backups")
		c, err := readAll(r.db)
		if err != nil {
			t.Fatal(err)
		}
		if r.nextSeq != b.Seq+1 {
			t.Errorf("restored up to change %d of %d", r.nextSeq-1, b.Seq)
		}
		has := make(map[string]bool)
		for _, e := range c.events {
			has[e.Type] = true
		}
		for _, typ := range before {
			if !has[typ] {
				t.Errorf("event %s was acknowledged before the backup began, and is not in it", typ)
			}
		}
	}
	stop()
	writers.Wait()
}

// TestBackupPowerCut cuts the power at each step of a second backup. The first
// backup can still be restored. If the new generation has its name, it can be
// restored, too. The next backup continues from the remains.
func TestBackupPowerCut(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	cuts := 0
	step := scale.Of(1, 5) // steps from one cut to the next
	for at := 0; ; at += step {
		mem := vfs.NewCrashableMem()
		var clone *vfs.MemFS
		write, armed := 0, false
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if armed && strings.HasPrefix(op.Path, "backups") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				if write == at {
					clone = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random})
				}
				write++
			}
			return nil
		}))
		s := mustOpen(t, fs)
		load(t, s, 1, 20)
		mustBackup(t, s, 1)
		first := dump(t, s)
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		load(t, s, 21, 20)
		second := dump(t, s)
		armed = true
		mustBackup(t, s, 1)
		armed = false
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if clone == nil {
			break
		}
		cuts++
		got := dump(t, restored(t, clone, "backups"))
		if !cmp.Equal(got, first) && !cmp.Equal(got, second) {
			t.Fatalf("after a cut at step %d the restored store is neither the first nor the second", at)
		}
		again := mustOpen(t, clone)
		if b := mustBackup(t, again, 1); b.Generations != 1 {
			t.Errorf("after a cut at step %d there are %d generations", at, b.Generations)
		}
		if got := dump(t, restored(t, clone, "backups")); !cmp.Equal(got, second) {
			t.Errorf("after a cut at step %d the next backup is not the store", at)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if cuts < 10/step {
		t.Errorf("the power was cut at %d steps only", cuts)
	}
}

func TestRestoreOverwritesNothing(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	load(t, s, 1, 10)
	mustBackup(t, s, 1)
	want := dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t.Context(), fs, "backups", "data"); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v, want a refusal: there is a store", err)
	}
	s = mustOpen(t, fs)
	if diff := cmp.Diff(want, dump(t, s)); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(s.Close(), fs.MkdirAll("empty", 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t.Context(), fs, "backups", "empty"); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := restore(t.Context(), fs, "empty", "other"); err == nil {
		t.Error("restored from what is no backup")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := restore(ctx, fs, "backups", "other"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	if _, err := fs.Stat("other"); err == nil {
		t.Error("a restore that failed left something")
	}
}

// TestDamagedBackup: a missing, truncated or changed file is found, and nothing
// is restored.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	load(t, s, 1, 100)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	load(t, s, 101, 20) // these are in the write-ahead log
	b := mustBackup(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		whole := readFile(t, fs, fs.PathJoin(b.Path, name))
		cut := whole[:len(whole)/2]
		changed := bytes.Clone(whole)
		for i := range changed {
			changed[i] ^= 0x10
		}
		for how, data := range map[string][]byte{"missing": nil, "cut": cut, "changed": changed} {
			if len(whole) == 0 && how != "missing" {
				continue
			}
			c := vfs.NewMem()
			if _, err := vfs.Clone(fs, c, b.Path, b.Path); err != nil {
				t.Fatal(err)
			}
			if err := c.Remove(c.PathJoin(b.Path, name)); err != nil {
				t.Fatal(err)
			}
			if how != "missing" {
				writeFile(t, c, c.PathJoin(b.Path, name), data)
			}
			_, err := restore(t.Context(), c, b.Path, "restored")
			if err == nil {
				t.Errorf("%s: %s, and it was restored", name, how)
			} else if name != "backup.json" && !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s: %s: got %v, want to be told that the backup is damaged", name, how, err)
			}
			if _, err := c.Stat("restored"); err == nil {
				t.Errorf("%s: %s, and something was restored", name, how)
			}
		}
	}
	// Flip one bit in the middle of each table, in a block that only a full
	// read reaches.
	for _, name := range names {
		if path.Ext(name) != ".sst" {
			continue
		}
		data := bytes.Clone(readFile(t, fs, fs.PathJoin(b.Path, name)))
		data[20] ^= 1
		c := vfs.NewMem()
		if _, err := vfs.Clone(fs, c, b.Path, b.Path); err != nil {
			t.Fatal(err)
		}
		writeFile(t, c, c.PathJoin(b.Path, name), data)
		if _, err := restore(t.Context(), c, b.Path, "restored"); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: one bit changed: got %v, want to be told", name, err)
		}
	}
}

func readFile(tb testing.TB, fs vfs.FS, name string) []byte {
	tb.Helper()
	f, err := fs.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatal(err)
	}
	return data
}

func writeFile(tb testing.TB, fs vfs.FS, name string, data []byte) {
	tb.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		tb.Fatal(err)
	}
}
