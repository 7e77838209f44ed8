//go:build unix

package traffic

import (
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"trackway/internal/limit"
)

// A frame that does not fit on the disk is lost without a trace: the earlier
// frames are complete, and the next one follows in the same file. The process's
// limit on the size of files stands for the disk.
func TestFullDisk(t *testing.T) {
	const limited = "TRACKWAY_TEST_FILES_ARE_LIMITED"
	if os.Getenv(limited) == "" { //nolint:forbidigo // set below
		child := exec.CommandContext(t.Context(), "/bin/sh", "-c", `ulimit -f 16 && exec "$0" -test.run=^TestFullDisk$`, os.Args[0])
		child.Env = append(os.Environ(), limited+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ) // lets the write fail instead
	r := recorder(t, always, monday)
	write := func(second, callers int) error {
		at := monday.Add(time.Duration(second) * time.Second)
		for i := range callers {
			c := callOf("10.0.0.0")
			c.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			r.Note(at, c, &limit.Decision{Allowed: true})
		}
		r.drainLocked()
		return r.write(at.Add(time.Second))
	}
	const many = 10_000 // more than fit
	if err := write(0, 1); err != nil {
		t.Fatal(err)
	}
	for second := 1; second <= 3; second++ {
		if err := write(second, many); err == nil {
			t.Fatal("what there is no room for was written")
		}
	}
	if err := write(4, 1); err != nil {
		t.Fatal(err)
	}
	all, covered := walk(t, r.dir)
	if n := len(r.files(t)); n != 1 || len(all) != 2 || covered.Damaged != 0 || covered.Missing() != 3*time.Second {
		t.Errorf("got %d files, %d rows, %+v; want one whole file, with two rows and a gap of three seconds", n, len(all), covered)
	}
}
