package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSmall: a new installation fits on a small machine: it takes little of the
// disk, room that is only set aside included, and little memory.
func TestSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig+wideLimits)
	if got, most := s.peakMemory(t), float64(90<<20); got > most {
		t.Errorf("an idle server took %.0f MB of memory, want at most %.0f", got/(1<<20), most/(1<<20))
	}
	for i := range 200 { // some megabytes, so that the first tables in memory are full
		var batch strings.Builder
		for j := range 50 {
			if j > 0 {
				batch.WriteByte(',')
			}
			fmt.Fprintf(&batch, `{"name": "customers/events", "data": {"customer_ids": {"cookie": "c%d"}, "event_type": "visit", "properties": {"text": "%d%s"}}}`,
				i*50+j, j, strings.Repeat("x", 300))
		}
		res := s.do(t, request{path: "/track/v2/projects/{token}/batch", body: []byte(`{"commands": [` + batch.String() + `]}`)})
		if res.status != 200 {
			t.Fatalf("status %d: %s", res.status, res.body)
		}
	}
	const mostDisk, mostMemory = 30 << 20, 120 << 20
	if got := occupied(t, filepath.Join(dir, "data")); got > mostDisk {
		t.Errorf("10 000 events take %d MB of the disk, want at most %d", got>>20, mostDisk>>20)
	}
	if got := s.peakMemory(t); got > mostMemory {
		t.Errorf("the server took %.0f MB of memory, want at most %d", got/(1<<20), mostMemory>>20)
	}
}

// occupied returns how much of the disk the files in dir take, in bytes.
func occupied(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if os.IsNotExist(err) {
			return nil // the store has removed it
		} else if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += stat.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
