package chaos

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trackway/internal/prereq"
	"trackway/internal/sleep"
)

// TestCount: a lost and a doubled event are counted, and an event whose fate is
// unknown may be there or not.
func TestCount(t *testing.T) {
	t.Parallel()
	w := &writer{known: []fate{acked, acked, acked, unknown, unknown, unknown}}
	var r result
	for n, count := range []int{1, 0, 2, 0, 1, 2} {
		r.add(1, w, n, count)
	}
	if r.lost != 1 || r.doubled != 2 || len(r.details) != 3 {
		t.Errorf("got %d lost and %d doubled: %q, want 1 and 2", r.lost, r.doubled, r.details)
	}
}

// victimVariable is the environment variable that makes this program a victim
// of TestNothingStays: it names a directory.
const victimVariable = "TRACKWAY_TEST_VICTIM"

// victim makes a place with a disk and a process, says so, and waits to be
// killed.
func victim(dir string) error {
	p, err := newPlace(netip.AddrFrom4([4]byte{10, 99, 0, 1}))
	if err != nil {
		return err
	}
	if err := p.disk(filepath.Join(dir, "disk"), 16); err != nil {
		return err
	}
	sleeper := exec.Command("sleep", "3600")
	sleeper.Dir = filepath.Join(dir, "disk") // so it keeps the mount in use
	if err := p.start(sleeper); err != nil {
		return err
	}
	fmt.Println("pid", sleeper.Process.Pid) //nolint:forbidigo // it is the answer to the test
	<-time.After(time.Hour)
	return nil
}

// TestNothingStays: if the tests are killed, their processes end, and no mount
// keeps a disk.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), victimVariable+"="+dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // without a line, there is no number
	pid, wrong := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
	used := diskInUse(t, dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if wrong != nil {
		prereq.Missing(t, prereq.Namespaces, errs.String())
	}
	if !used {
		t.Error("no mount uses the disk, so this test shows nothing")
	}
	for end := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
		if unix.Kill(pid, 0) == unix.ESRCH && !diskInUse(t, dir) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v, the process %d or its disk is still there", patience, pid)
		}
	}
}

// diskInUse reports whether a loop device uses the disk in a directory.
func diskInUse(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), dir) {
			return true
		}
	}
	return false
}
