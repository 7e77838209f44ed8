package monitor

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const startAgain = "start again"

// TestMain lets the test be the program that starts itself again.
func TestMain(m *testing.M) {
	if !slices.Contains(os.Args, startAgain) {
		os.Exit(m.Run())
	}
	Rest(nil)
	var all []string
	threads, err := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		text, readErr := os.ReadFile("/proc/" + t.Name() + "/timerslack_ns")
		if readErr != nil {
			err = readErr
		}
		all = append(all, strings.TrimSpace(string(text)))
	}
	_, _ = fmt.Fprintln(os.Stdout, os.Getpid(), slack(), err, strings.Join(os.Args[1:], " "), all)
	os.Exit(0)
}

// TestRest: the monitor gets a wider slack, in the same process.
func TestRest(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "a", startAgain)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if want := fmt.Sprint(cmd.Process.Pid, " ", usual, " "); !strings.HasPrefix(text, want) {
		t.Fatalf("got %q, want it to begin with %q", text, want)
	}
	if os.Geteuid() != 0 {
		return // the kernel shows the slack of other threads to root alone
	}
	begin, list, _ := strings.Cut(strings.TrimSuffix(text, "]\n"), "[")
	if want := "<nil> a " + startAgain + " "; !strings.HasSuffix(begin, want) {
		t.Errorf("got %q, want it to end with %q", begin, want)
	}
	all := strings.Fields(list)
	threads := make(map[string]int)
	for _, n := range all {
		threads[n]++
	}
	number := func(d time.Duration) string { return strconv.FormatInt(d.Nanoseconds(), 10) }
	few, most := threads[number(wide)], threads[number(usual)]
	// a thread that is busy may keep the wider one
	if few == 0 || few > 3 || most < 3 || few+most != len(all) {
		t.Errorf("the threads have %q, want few to have %s and the others %s", all, number(wide), number(usual))
	}
}
