package chaos

import (
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"go.uber.org/goleak"

	"trackway/internal/scale"
)

var (
	forFlag    = flag.Duration("for", 0, "for how long to break things: half of it three servers, a quarter five, and a quarter three behind a proxy; 0: -rounds")
	roundsFlag = flag.Int("rounds", 3, "how many `faults` TestThree and TestFive each make")
	seedFlag   = flag.Uint64("seed", 0, "which faults, in which order; 0: as it comes")
	onlyFlag   = flag.String("only", "", "faults whose `name` contains this")
)

var readKey = "Basic " + base64.StdEncoding.EncodeToString([]byte("private-id-0b9e6f41c3:secret-key-e83a1795d4"))

// binDir is the directory of the binary during the tests.
var binDir string

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVariable); dir != "" { //nolint:forbidigo // this process was started by a test
		fmt.Fprintln(os.Stderr, victim(dir))
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "trackway-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = dir
	flag.Parse()
	status := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// parallel lets tests run beside each other, unless they take long: then each
// gets the whole machine.
func parallel(t *testing.T) {
	t.Helper()
	if *forFlag == 0 {
		t.Parallel()
	}
}

// TestThree: whatever happens to three servers, nothing acknowledged is lost or
// doubled, and all servers have the same data.
func TestThree(t *testing.T) { breakThings(t, 3, *forFlag/2) }

// TestFive is the same with five servers, of which two may be lost at a time.
func TestFive(t *testing.T) { breakThings(t, 5, *forFlag/4) }

// breakThings makes faults in random order, each of them once before the first
// comes again.
func breakThings(t *testing.T, servers int, duration time.Duration) {
	t.Helper()
	parallel(t)
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, uint64(servers)))
	c := newCluster(t, servers, random, wideLimits, binary)
	c.write()
	t.Cleanup(c.load.end)
	var table report
	defer func() { t.Logf("%d servers, SEED=%d\n%s", servers, seed, &table) }()
	var next []fault
	for began, round := time.Now(), 0; time.Since(began) < duration || duration == 0 && round < scale.Of(*roundsFlag, 1); round++ {
		if len(next) == 0 {
			next = slices.DeleteFunc(faultsOf(servers), func(f fault) bool { return !strings.Contains(f.name, *onlyFlag) })
			random.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
		}
		table.add(c.round(next[0]))
		if next = next[1:]; t.Failed() {
			return
		}
	}
	goOn := c.load.pause()
	defer goOn(time.Now())
	c.settle()
	if all := c.load.checkAll(t.Context()); all.lost+all.doubled > 0 {
		t.Errorf("in the end, of %d events %d are lost and %d doubled: %v", all.events, all.lost, all.doubled, all.details)
	} else {
		t.Logf("in the end, each of %d servers has each acknowledged event of %d once, and all export the same; no read was stale: %v", servers, all.events, c.load.reads)
	}
}

// round makes a fault under load, and checks what is left.
func (c *cluster) round(f fault) row {
	c.t.Helper()
	c.load.await(some)
	c.load.begin()
	began := time.Now()
	f.do(c)
	c.awaitReady()
	c.load.await(some)
	r := row{name: f.name, took: time.Since(began)}
	r.without, r.slow = c.load.measured()
	goOn := c.load.pause()
	c.settle()
	r.result = c.load.check(c.t.Context())
	goOn(time.Now())
	if r.lost+r.doubled > 0 {
		c.t.Errorf("%s: of %d events %d are lost and %d doubled: %v", f.name, r.events, r.lost, r.doubled, r.details)
	}
	c.t.Logf("%-32s %5.1f s without service, slowest request %5.1f s, %6.1f s in all, %d events", f.name, r.without.Seconds(), r.slow.Seconds(), r.took.Seconds(), r.events)
	return r
}

// row is the outcome of one fault.
type row struct {
	result

	name                string
	took, without, slow time.Duration
}

// report is the outcome of all.
type report struct{ rows []row }

func (r *report) add(one row) { r.rows = append(r.rows, one) }

// String returns a table with a line for each kind of fault.
func (r *report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	printf := func(format string, cells ...any) { _, _ = fmt.Fprintf(w, format, cells...) } // b takes everything
	printf("FAULT\tTIMES\tEVENTS\tLOST\tDOUBLED\tWITHOUT SERVICE: MEDIAN\tWORST\tSLOWEST REQUEST\n")
	byName := map[string][]row{}
	var names []string
	for _, one := range r.rows {
		if byName[one.name] == nil {
			names = append(names, one.name)
		}
		byName[one.name] = append(byName[one.name], one)
	}
	slices.Sort(names)
	line := func(name string, rows []row) {
		var sum result
		var without, slow []time.Duration
		for _, one := range rows {
			sum.events, sum.lost, sum.doubled = sum.events+one.events, sum.lost+one.lost, sum.doubled+one.doubled
			without, slow = append(without, one.without), append(slow, one.slow)
		}
		slices.Sort(without)
		printf("%s\t%d\t%d\t%d\t%d\t%.1f s\t%.1f s\t%.1f s\n", name, len(rows), sum.events, sum.lost, sum.doubled,
			without[len(without)/2].Seconds(), slices.Max(without).Seconds(), slices.Max(slow).Seconds())
	}
	for _, name := range names {
		line(name, byName[name])
	}
	if len(r.rows) > 0 {
		line("all", r.rows)
	}
	_ = w.Flush()
	return b.String()
}
