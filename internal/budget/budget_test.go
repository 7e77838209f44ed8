package budget

import (
	"bytes"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// TestSplit checks that the parts stay below the limit, and grow with it.
func TestSplit(t *testing.T) {
	t.Parallel()
	var before Memory
	for _, limit := range []int64{Least, 256 * mib, 512e6, Default, 4 * Default, 64 * Default} {
		m := split(limit, 1)
		sum := int64(base+m.Bodies+m.Connections+m.Answers+4*m.MemTable+27*m.Callers) + m.Cache + m.Known
		if sum > m.Max*98/100 {
			t.Errorf("%d: the parts come to %d", limit, sum)
		}
		if m.Runtime >= m.Max || m.Runtime < m.Max/2 {
			t.Errorf("%d: the runtime's limit is %d", limit, m.Runtime)
		}
		if m.Bodies < before.Bodies || m.Connections < before.Connections || m.Cache < before.Cache ||
			m.MemTable < before.MemTable || m.Callers < before.Callers || m.Known < before.Known {
			t.Errorf("%d: got %+v, less than %+v", limit, m, before)
		}
		connections, headers := m.mostConnections(false)
		if sum := connections*plainConnection + headerCost*headers; sum > m.Connections && connections > leastMemory {
			t.Errorf("%d: connections come to %d of %d bytes", limit, sum, m.Connections)
		}
		if secure, _ := m.mostConnections(true); secure > connections {
			t.Errorf("%d: %d connections with TLS, %d without", limit, secure, connections)
		}
		before = m
	}
}

// TestSplitDefault checks that a server without a configured limit has the
// sizes that it was measured with.
func TestSplitDefault(t *testing.T) {
	t.Parallel()
	m := split(Default, 1)
	if m.Bodies != 256*mib || m.Cache != 48*mib || m.MemTable != 16*mib || m.Callers != 1<<20 || m.Known>>20 != 64 {
		t.Errorf("got %+v", m)
	}
}

func TestSplitFiles(t *testing.T) {
	t.Parallel()
	for limit, store := range map[int]int{200: 132, 256: 160, 512: 288, 1024: 544, 4096: 2080, 20_000: 4064, 65_536: 4064, 1 << 20: 4064} {
		f := splitFiles(limit, store)
		if sum := f.Store + 3*f.Operator + f.Connections; sum >= limit || f.Connections < limit/8 {
			t.Errorf("%d: %+v come to %d", limit, f, sum)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	big := file("MemTotal:       24684544 kB\nMemFree: 1 kB\n")
	for name, c := range map[string]struct {
		configured, goLimit int64
		files               fstest.MapFS
		want                int64
	}{
		"nothing known":   {0, 0, fstest.MapFS{}, Default},
		"large machine":   {0, 0, fstest.MapFS{"proc/meminfo": big}, Default},
		"small machine":   {0, 0, fstest.MapFS{"proc/meminfo": file("MemTotal: 1048576 kB\n")}, 512 * mib},
		"tiny machine":    {0, 0, fstest.MapFS{"proc/meminfo": file("MemTotal: 1024 kB\n")}, Least},
		"configured":      {2e9, 5e8, fstest.MapFS{"proc/meminfo": big}, 2e9},
		"environment":     {0, 3e9, fstest.MapFS{"proc/meminfo": big}, 3e9},
		"garbage":         {0, 0, fstest.MapFS{"proc/meminfo": file("MemTotal: x kB"), "proc/self/cgroup": file(":\n0::")}, Default},
		"v2":              {0, 0, fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("536870912\n")}, 384 * mib},
		"v2, above":       {0, 0, fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("max\n"), "sys/fs/cgroup/a/memory.max": file("536870912\n")}, 384 * mib},
		"v2, container":   {0, 0, fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("536870912\n")}, 384 * mib},
		"v1":              {0, 0, fstest.MapFS{"proc/self/cgroup": file("9:name=systemd:/\n4:memory:/x\n0::/\n"), "sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("536870912\n")}, 384 * mib},
		"v1, container":   {0, 0, fstest.MapFS{"proc/self/cgroup": file("4:memory:/docker/1\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("536870912\n")}, 384 * mib},
		"v1, none":        {0, 0, fstest.MapFS{"proc/self/cgroup": file("4:memory:/\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n")}, Default},
		"group, machine":  {0, 0, fstest.MapFS{"proc/meminfo": file("MemTotal: 1048576 kB\n"), "proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("2147483648\n")}, 512 * mib},
		"a group of 1 MB": {0, 0, fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("1048576\n")}, Least},
	} {
		if got := find(c.configured, c.goLimit, c.files); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

// TestConnections checks that the operator can set fewer connections than the
// memory allows, but not more.
func TestConnections(t *testing.T) {
	t.Parallel()
	b := Budget{split(Default, 1), splitFiles(1024, 544)}
	carried := b.Files.Connections
	for asked, want := range map[int]int{0: carried, 10: 10, carried: carried, carried + 1: carried} {
		var log bytes.Buffer
		most, headers := b.Connections(asked, true, slog.New(slog.NewTextHandler(&log, nil)))
		if most != want || headers == 0 || (log.Len() > 0) != (asked > carried) {
			t.Errorf("%d asked for: got %d, want %d; headers %d; logged: %s", asked, most, want, headers, log.String())
		}
	}
}

// TestTake checks that the runtime's settings follow from the budget, unless
// the operator has chosen how much garbage may gather.
func TestTake(t *testing.T) { // not parallel: the settings are the process's
	enough := func(uint64) (int, error) { return 100, nil }
	limit, percent := debug.SetMemoryLimit(math.MaxInt64), debug.SetGCPercent(100)
	defer func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}()
	for before, want := range map[int]int{100: idleGarbage, 200: 200} { // a test uses little
		runtime.GC() // so that little is in use
		debug.SetGCPercent(before)
		b, err := Take(512*mib, 1, enough)
		if err != nil {
			t.Fatal(err)
		}
		if got := debug.SetMemoryLimit(math.MaxInt64); got != b.Memory.Runtime || b.Memory.Max != 512*mib {
			t.Errorf("the runtime's limit is %d, of %+v", got, b.Memory)
		}
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("garbage may be %d %%, want %d", got, want)
		}
	}
}

// TestGarbage: a heap of medium size may gather as much garbage as it uses, an
// idle one a quarter of that, a large one less, and none in between becomes
// larger than usual.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for inUse, want := range map[uint64]int{0: 25, 1: 25, 47 << 20: 25, 48 << 20: 100, 115 << 20: 100, 161 << 20: 43, 184 << 20: 25, 200 << 20: 16, 230 << 20: 16, 1 << 40: 16} {
		if got := garbageOf(inUse); got != want {
			t.Errorf("%d bytes in use: got %d %%, want %d", inUse, got, want)
		}
	}
}

// TestAdjuster: what a collection finds in use decides how much garbage may
// gather until the next.
func TestAdjuster(t *testing.T) { // not parallel: the setting is the process's
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	reaches := func(want int) {
		t.Helper()
		for range 1000 {
			runtime.GC()
			runtime.Gosched() // cleanups run in a goroutine of their own
			got := debug.SetGCPercent(want)
			if got == want {
				return
			}
			debug.SetGCPercent(got)
		}
		t.Errorf("garbage never may be %d %%", want)
	}
	a := newAdjuster()
	a.adjust()
	reaches(idleGarbage)
	medium := make([]byte, usualHeap/2-idleHeap/2)
	reaches(mostGarbage)
	func() {
		large := make([]byte, usualHeap)
		reaches(leastGarbage)
		runtime.KeepAlive(large)
	}()
	reaches(mostGarbage)
	runtime.KeepAlive(medium)
}
