package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
)

// killed returns the files of a store with some acknowledged events as a killed
// process leaves them, and the name and content of its newest log. All events
// have the given size. With rotations, logs are reused. Event n has the
// sequence number n+1, except the first: the customer has number 2.
func killed(t *testing.T, size, rotations int) (fs *vfs.MemFS, name string, data []byte) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s := openPlain(t, mem)
	t.Cleanup(func() { _ = s.Close() })
	at := trackway.Micros(0)
	put := func(n int) {
		fill := strings.Repeat("x", size)
		for range n {
			at++
			mustApply(t, s, event("e", at, map[string]string{"p": fmt.Sprintf(`"needle-%d-%s"`, at, fill)}, cookie1))
		}
	}
	for range rotations {
		put(9)
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	put(6)
	fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	name, data = newestLog(t, fs)
	return fs, name, data
}

func newestLog(t *testing.T, fs vfs.FS) (name string, data []byte) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".log") && n > name {
			name = n
		}
	}
	return name, readFile(t, fs, fs.PathJoin("data", name))
}

func copyFS(t *testing.T, from vfs.FS) vfs.FS {
	t.Helper()
	to := vfs.NewMem()
	if ok, err := vfs.Clone(from, to, "data", "data"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return to
}

// TestFlippedBitInNewestLog: whichever bit of the last acknowledged data is
// flipped, the store does not open as if its log ended there. Flipping bits
// after the end does no harm.
func TestFlippedBitInNewestLog(t *testing.T) {
	t.Parallel()
	for _, shape := range []struct{ size, rotations int }{
		{10, 0},      // a few small records in one block
		{10, 3},      // the same, over the remains of an older log
		{3000, 0},    // several blocks
		{40_000, 0},  // records of several chunks
		{90_000, 1},  // the same, over longer ones
		{400_000, 0}, // most of it is written before a sync asks for it
	} {
		t.Run(fmt.Sprintf("%d bytes, %d rotations", shape.size, shape.rotations), func(t *testing.T) {
			t.Parallel()
			fs, name, data := killed(t, shape.size, shape.rotations)
			last := uint64(shape.rotations*9 + 6 + 1)
			random := rand.New(rand.NewPCG(uint64(shape.size), uint64(shape.rotations)))
			ends := chunkEnds(data, name)
			end := ends[len(ends)-1]
			copied := copyFS(t, fs)
			flip := func(at, bit int) {
				t.Helper()
				setByte(t, copied, copied.PathJoin("data", name), at, data[at]^1<<bit)
				s, err := Open("data", Options{FS: copied, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }})
				if err == nil {
					defer func() { // the next flip begins with a clean copy
						_ = s.Close()
						copied = copyFS(t, fs)
					}()
				} else { // a store that does not open is left as it was
					setByte(t, copied, copied.PathJoin("data", name), at, data[at])
				}
				switch inside := at < end; {
				case inside && !errors.Is(err, ErrDamagedLog):
					t.Errorf("bit %d of byte %d of %d: got %v, want that the log is damaged", bit, at, end, err)
				case !inside && err != nil:
					t.Errorf("bit %d of byte %d, behind the end at %d: %v", bit, at, end, err)
				case !inside && s.nextSeq != last+1:
					t.Errorf("bit %d of byte %d, behind the end at %d: %d changes, want %d", bit, at, end, s.nextSeq-1, last)
				}
			}
			// The last records: each bit of each header, some of each payload.
			for i := max(1, len(ends)-3); i < len(ends); i++ {
				for at := ends[i-1]; at < ends[i-1]+19; at++ {
					flip(at, random.IntN(8))
				}
				for range 3 {
					flip(ends[i-1]+random.IntN(ends[i]-ends[i-1]), random.IntN(8))
				}
			}
			// A flip of the lowest bit gives the number of the next log, which
			// ends a log.
			for bit := range 8 {
				flip(ends[len(ends)-2]+7, bit)
			}
			for range 10 {
				flip(random.IntN(end), random.IntN(8))
			}
			for range 3 {
				if end < len(data) {
					flip(end+random.IntN(len(data)-end), random.IntN(8))
				}
			}
			if diff := cmp.Diff(checksums(t, fs), checksums(t, copied)); diff != "" {
				t.Errorf("stores that were not opened are changed:\n%s", diff)
			}
		})
	}
}

func setByte(t *testing.T, fs vfs.FS, name string, at int, value byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{value}, int64(at)); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// checksums returns the checksum of each file in a store's directory, except
// the lock, which every attempt to open the store creates.
func checksums(t *testing.T, fs vfs.FS) map[string]uint32 {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]uint32, len(names))
	for _, name := range names {
		if name != "LOCK" {
			sums[name] = crc32.ChecksumIEEE(readFile(t, fs, fs.PathJoin("data", name)))
		}
	}
	return sums
}

// chunkEnds returns the ends of a log's chunks up to the first gap, beginning
// with 0.
func chunkEnds(data []byte, name string) []int {
	const block, header = 32 << 10, 19
	var number uint32
	_, _ = fmt.Sscanf(name, "%06d.log", &number)
	ends := []int{0}
	for at := 0; at+header <= len(data); {
		if block-at%block < header {
			at += block - at%block
			continue
		}
		if got := uint32(data[at+7]) | uint32(data[at+8])<<8; data[at+6] < 9 || data[at+6] > 12 || got != number {
			break
		}
		at += header + int(data[at+4]) + int(data[at+5])<<8
		ends = append(ends, at)
	}
	return ends
}

// TestTornEnd: a write that nobody waited for and that a power cut or a kill
// tore is not damage, and is not reported.
func TestTornEnd(t *testing.T) {
	t.Parallel()
	fs, name, data := killed(t, 3000, 0)
	ends := chunkEnds(data, name)
	end := ends[len(ends)-1]
	last := data[ends[len(ends)-3]:end] // a record and the mark after it
	for what, spoil := range map[string]func(data []byte) []byte{
		"cut off":              func(d []byte) []byte { return append(d[:end], last[:len(last)/2]...) },
		"cut off in a header":  func(d []byte) []byte { return append(d[:end], last[:5]...) },
		"the end of the file":  func(d []byte) []byte { return d[:end] },
		"half of it zeros":     func(d []byte) []byte { return append(append(d[:end], last[:len(last)/2]...), make([]byte, 5000)...) },
		"the beginning zeros":  func(d []byte) []byte { return append(append(d[:end], make([]byte, 512)...), last[512:]...) },
		"an older log's bytes": func(d []byte) []byte { return append(d[:end], bytes.Repeat([]byte{5, 6, 7, 11}, 3000)...) },
	} {
		copied := copyFS(t, fs)
		overwrite(t, copied, copied.PathJoin("data", name), spoil(bytes.Clone(data)))
		var log bytes.Buffer
		s, err := Open("data", Options{
			FS: copied, Fatal: func(err error) { t.Error(err) },
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if s.nextSeq != 8 || log.Len() > 0 {
			t.Errorf("%s: %d changes, want 7; logged:\n%s", what, s.nextSeq-1, &log)
		}
		_ = s.Close()
	}
}

// TestMarksInTheLog: a power cut may lose the file that says how far the log
// was synced. The marks in the log itself are then enough for all but the last
// group.
func TestMarksInTheLog(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 3000, 40_000, 120_000} {
		fs, name, data := killed(t, size, 0)
		ends := chunkEnds(data, name)
		if err := fs.Remove(fs.PathJoin("data", "SYNCED")); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{ends[0] + 30, ends[len(ends)/3] + 25} {
			copied := copyFS(t, fs)
			spoiled := bytes.Clone(data)
			spoiled[at] ^= 4
			overwrite(t, copied, copied.PathJoin("data", name), spoiled)
			if s, err := Open("data", Options{FS: copied, Fatal: func(err error) { t.Error(err) }}); !errors.Is(err, ErrDamagedLog) {
				t.Errorf("%d bytes, byte %d: got %v, want that the log is damaged; the next event is %d", size, at, err, s.nextSeq)
			}
		}
	}
}

// TestLostLog: a missing log is damage, too.
func TestLostLog(t *testing.T) {
	t.Parallel()
	fs, name, _ := killed(t, 10, 2)
	if err := fs.Remove(fs.PathJoin("data", name)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }}); !errors.Is(err, ErrDamagedLog) || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, want that %s is damaged", err, name)
	}
}

// TestDamagedSyncedFile: if the file that says how far the log was synced is
// damaged, that is reported, and nothing is lost.
func TestDamagedSyncedFile(t *testing.T) {
	t.Parallel()
	fs, _, _ := killed(t, 10, 0)
	file := fs.PathJoin("data", "SYNCED")
	data := readFile(t, fs, file)
	data[7] ^= 1
	overwrite(t, fs, file, data)
	s, log := openDamaged(t, fs)
	if s.nextSeq != 8 || s.Damaged() != 1 || !strings.Contains(log.String(), "SYNCED") {
		t.Errorf("%d changes, %d places damaged; logged:\n%s", s.nextSeq-1, s.Damaged(), log)
	}
}
