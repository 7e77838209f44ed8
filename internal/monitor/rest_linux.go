package monitor

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// usual is the slack that every process has unless somebody changed it, and
// wide is that of the monitor. The monitor then wakes 4000 times a second at
// most, and takes the processor from a thread that has waited for half a
// millisecond.
const (
	usual = 50 * time.Microsecond
	wide  = 250 * time.Microsecond
)

// Rest makes the monitor sleep longer. To do so, it starts the program again in
// the same process, with the same arguments: call it first. It returns in the
// new program, or in the old one if that fails. If somebody has set a slack for
// the process, it does nothing.
func Rest(environment []string) {
	switch slack() {
	case usual:
		name, err := os.Executable()
		if err != nil {
			return
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		setSlack(wide)
		_ = syscall.Exec(name, os.Args, environment) //nolint:gosec // this program, with its own arguments
		setSlack(usual)
	case wide:
		narrow()
	}
}

// narrow gives all threads but the monitor, and perhaps one that is busy, the
// usual slack again. Otherwise each of them would sleep longer too.
func narrow() {
	// The first call of LockOSThread starts a thread that starts others.
	setSlack(usual)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	setSlack(usual)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	// The second time finds threads that were busy during the first.
	narrowed(len(threads))
	narrowed(len(threads))
}

// narrowed gives n threads the usual slack. It begins with those that there
// are: each of n goroutines needs a thread of its own.
func narrowed(n int) {
	var all, set sync.WaitGroup
	set.Add(n)
	for range n {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			setSlack(usual)
			set.Done()
			set.Wait()
		})
	}
	all.Wait()
}

// Calls of prctl(2).
const (
	prSetTimerSlack = 29
	prGetTimerSlack = 30
)

func slack() time.Duration {
	n, _, failed := syscall.RawSyscall(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0)
	if failed != 0 {
		return 0
	}
	return time.Duration(n)
}

func setSlack(d time.Duration) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(d), 0)
}
