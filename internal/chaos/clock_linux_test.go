package chaos

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var clocksFlag = flag.Bool("clocks", false, "build the program again, with a clock that can be wrong, which takes a minute or two")

// clockVariable is the environment variable that names the file with the
// seconds by which a server's clock is wrong.
const clockVariable = "TRACKWAY_TEST_CLOCK"

// shiftSource becomes a part of package time in the tested program, so that the
// clock of everything in it can be wrong. Nothing else of it changes.
const shiftSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var shifted *int64

func init() {
	name, ok := syscall.Getenv("` + clockVariable + `")
	if !ok || name == "" {
		return
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open ` + clockVariable + `")
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map ` + clockVariable + `")
	}
	shifted = (*int64)(unsafe.Pointer(&page[0]))
}

func shift() int64 {
	if shifted == nil {
		return 0
	}
	return atomic.LoadInt64(shifted)
}
`

// build builds the program, once.
var build = sync.OnceValues(func() (string, error) {
	args := []string{"build", "-buildvcs=false", "-o", filepath.Join(binDir, "trackway")}
	if *clocksFlag {
		overlay, err := clockOverlay()
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "./cmd/trackway")...)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build trackway: %w\n%s", err, out)
	}
	return filepath.Join(binDir, "trackway"), nil
})

// clockOverlay writes what changes package time, and returns the file that the
// go tool wants.
func clockOverlay() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(dir, "time.go"))
	if err != nil {
		return "", err
	}
	const asks = "sec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(source), "func Now() Time {\n\t"+asks, "func Now() Time {\n\t"+asks+"\tsec += shift()\n", 1)
	if changed == string(source) {
		return "", fmt.Errorf("time.Now does not begin with %q any more", asks)
	}
	own, added, overlay := filepath.Join(binDir, "time.go"), filepath.Join(binDir, "shift.go"), filepath.Join(binDir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(dir, "time.go"): own, filepath.Join(dir, "shift.go"): added,
	}})
	if err != nil {
		return "", err
	}
	for name, content := range map[string]string{own: changed, added: shiftSource, overlay: string(text)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	return overlay, nil
}

// newClock returns the file of a clock that is right, or an empty name if the
// program has the usual clock.
func newClock(t *testing.T, dir string) string {
	t.Helper()
	if !*clocksFlag {
		return ""
	}
	name := filepath.Join(dir, "clock")
	if err := os.WriteFile(name, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// shift makes the server's clock wrong at once.
func (s *server) shift(by time.Duration) {
	s.t.Helper()
	f, err := os.OpenFile(s.clock, os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(by/time.Second)))
	if err = errors.Join(err, f.Close()); err != nil {
		s.t.Fatal(err)
	}
}
