package traffic

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/allocs"
	"trackway/internal/limit"
)

var (
	monday  = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	forever = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	always  = Settings{Record: true, Keep: 24 * time.Hour, MaxBytes: 1 << 30, Limits: 7, Projects: map[string]string{"12345678": "demo"}}
)

// roots are the first parts of the paths of the server.
var roots = []string{"/track/", "/data/", "/api/", "/about/", "/assets/", "/grid/"}

// recorder returns a recorder that began to record at a time.
func recorder(t *testing.T, s Settings, at time.Time) *Recorder {
	t.Helper()
	r := New(filepath.Join(t.TempDir(), "traffic"), roots, slog.New(slog.DiscardHandler))
	r.now = func() time.Time { return r.wrote } // as if nothing took time
	restart(t, r, s, at)
	return r
}

// restart makes a recorder begin at a time, as after a restart.
func restart(t *testing.T, r *Recorder, s Settings, at time.Time) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Reload(s)
	r.covered, r.wrote, r.pruned = at.Unix(), at, at
}

func (r *Recorder) mustWrite(t *testing.T, now time.Time) {
	t.Helper()
	r.drainLocked()
	if err := r.write(now); err != nil {
		t.Fatal(err)
	}
}

func callOf(addr string) *limit.Call {
	return &limit.Call{
		Addr: netip.MustParseAddr(addr), Method: "POST", Route: "/track/v2/projects/{token}/batch", Path: "/track/v2/projects/12345678/batch",
		Project: "12345678", Key: "web",
	}
}

// come notes an admitted call.
func (r *Recorder) come(at time.Time, addr string) {
	r.Note(at, callOf(addr), &limit.Decision{Allowed: true})
}

// seen is a row and its second.
type seen struct {
	Second int64
	Row    Row
}

// walk returns all rows of a record.
func walk(t *testing.T, dir string) ([]seen, Coverage) {
	t.Helper()
	return walkIn(t, dir, time.Unix(0, 0), forever)
}

func walkIn(t *testing.T, dir string, since, until time.Time) (all []seen, c Coverage) {
	t.Helper()
	c, err := Walk(dir, since, until, func(second int64, rows []Row) error {
		for _, r := range rows {
			all = append(all, seen{second, r})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, c
}

var comparing = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}

// TestRecord: noted calls can be read back. The calls of one second are one
// row, which counts the refunded ones. A row holds only the first half of an
// IPv6 address and the first part of an unknown path. It holds no token, id or
// invented method.
func TestRecord(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	r.come(monday.Add(700*time.Millisecond), "203.0.113.7")
	r.come(monday.Add(250*time.Millisecond), "203.0.113.7") // it came before, but was noted later
	r.come(monday.Add(400*time.Millisecond), "203.0.113.7")
	r.GiveBack(monday.Add(400*time.Millisecond), callOf("203.0.113.7"))
	r.Note(monday.Add(800*time.Millisecond), callOf("203.0.113.7"), &limit.Decision{Policy: "track"})
	r.come(monday, "::ffff:192.0.2.1")
	r.come(monday.Add(time.Second), "2001:db8:1:2:3:4:5:6")
	r.come(monday.Add(time.Second), "2001:db8:1:2:ffff::")
	odd := limit.Call{Addr: netip.MustParseAddr("192.0.2.1"), Method: "EVIL", Route: "/", Path: "/api/customers/jane@example.com"}
	admitted := &limit.Decision{Allowed: true}
	r.Note(monday.Add(time.Second), &odd, admitted)
	odd.Path = "/wp-admin/jane@example.com"
	r.Note(monday.Add(time.Second), &odd, admitted)
	odd.Addr = netip.Addr{}
	r.Note(monday, &odd, admitted)
	r.mustWrite(t, monday.Add(2*time.Second))

	pattern := Kind{Method: "POST", Route: "/track/v2/projects/{token}/batch", Path: "/track/v2/projects/{token}/batch", Project: "demo", Key: "web"}
	wasRefused := pattern
	wasRefused.Refused = "track"
	addr := netip.MustParseAddr
	want := []seen{
		{monday.Unix(), Row{addr("192.0.2.1"), &pattern, 1, 0, 0, 0}},
		{monday.Unix(), Row{addr("203.0.113.7"), &pattern, 3, 1, 250, 700}},
		{monday.Unix(), Row{addr("203.0.113.7"), &wasRefused, 1, 0, 800, 800}},
		{monday.Unix() + 1, Row{addr("192.0.2.1"), &Kind{Method: OtherMethod, Route: "/", Path: "/"}, 1, 0, 0, 0}},
		{monday.Unix() + 1, Row{addr("192.0.2.1"), &Kind{Method: OtherMethod, Route: "/", Path: "/api/"}, 1, 0, 0, 0}},
		{monday.Unix() + 1, Row{addr("2001:db8:1:2::"), &pattern, 2, 0, 0, 0}},
	}
	got, covered := walk(t, r.dir)
	if diff := cmp.Diff(want, got, comparing); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if diff := cmp.Diff(Coverage{From: monday, To: monday.Add(2 * time.Second)}, covered, comparing); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	files := r.files(t)
	for path, text := range files {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v (%v), want 0600", path, info.Mode(), err)
		}
		for _, private := range []string{"jane", "12345678", "EVIL", "wp-admin"} {
			if strings.Contains(text, private) {
				t.Errorf("%s holds %q", path, private)
			}
		}
	}
	if len(files) != 1 {
		t.Errorf("got %d files, want 1", len(files))
	}
}

// files returns the content of the record's files.
func (r *Recorder) files(t *testing.T) map[string]string {
	t.Helper()
	all, err := segments(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, s := range all {
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		files[s.path] = string(text)
	}
	return files
}

// A row that is split over two frames is read as one, and a call may be given
// back some seconds after it came.
func TestRowsAcrossFrames(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	r.come(monday.Add(100*time.Millisecond), "192.0.2.1")
	r.mustWrite(t, monday.Add(500*time.Millisecond))
	r.come(monday.Add(900*time.Millisecond), "192.0.2.1")
	r.come(monday.Add(3*time.Second), "192.0.2.1")
	r.mustWrite(t, monday.Add(4*time.Second))
	r.GiveBack(monday.Add(100*time.Millisecond), callOf("192.0.2.1"))
	r.mustWrite(t, monday.Add(5*time.Second))
	r.GiveBack(monday.Add(-time.Hour), callOf("192.0.2.1")) // of a call that was not recorded
	r.mustWrite(t, monday.Add(60*time.Second))
	got, covered := walk(t, r.dir)
	if len(got) != 2 || got[0].Row.Calls != 2 || got[0].Row.Back != 1 || got[0].Row.First != 100 || got[0].Row.Last != 900 || got[1].Row.Back != 0 {
		t.Errorf("got %+v", got)
	}
	if got[0].Row.Kind != got[1].Row.Kind {
		t.Error("a kind is not the same one each time")
	}
	if len(covered.Gaps) != 0 || !covered.To.Equal(monday.Add(time.Minute)) {
		t.Errorf("got %+v, want one whole minute", covered)
	}
	got, covered = walkIn(t, r.dir, monday.Add(2*time.Second), monday.Add(30*time.Second))
	if len(got) != 1 || !covered.From.Equal(monday.Add(2*time.Second)) || !covered.To.Equal(monday.Add(30*time.Second)) {
		t.Errorf("of a part: got %+v, %+v", got, covered)
	}
}

// A torn or damaged end is skipped: earlier frames are read, and those after a
// restart, too.
func TestDamagedEnd(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	r.come(monday, "192.0.2.1")
	r.mustWrite(t, monday.Add(time.Second))
	path := r.file.Name()
	whole := len(r.files(t)[path])
	r.come(monday.Add(time.Second), "192.0.2.2")
	r.mustWrite(t, monday.Add(2*time.Second))
	text := []byte(r.files(t)[path])
	restart(t, r, always, monday.Add(time.Hour))
	r.come(monday.Add(time.Hour), "192.0.2.3")
	r.mustWrite(t, monday.Add(time.Hour+time.Second))
	check := func(damaged []byte, want Coverage, addresses ...string) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		all, covered := walk(t, r.dir)
		var got []string
		for _, s := range all {
			got = append(got, s.Row.Addr.String())
		}
		if diff := cmp.Diff(want, covered, comparing) + cmp.Diff(addresses, got); diff != "" {
			t.Errorf("%d of %d bytes (-want +got):\n%s", len(damaged), len(text), diff)
		}
	}
	end := monday.Add(time.Hour + time.Second)
	hour := func(from time.Time) []Gap { return []Gap{{from, monday.Add(time.Hour)}} }
	check(text, Coverage{From: monday, To: end, Gaps: hour(monday.Add(2 * time.Second))}, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	torn := Coverage{From: monday, To: end, Gaps: hour(monday.Add(time.Second)), Damaged: 1}
	for cut := whole + 1; cut < len(text); cut++ {
		check(text[:cut], torn, "192.0.2.1", "192.0.2.3")
		flipped := bytes.Clone(text)
		flipped[cut] ^= 0x10
		check(flipped, torn, "192.0.2.1", "192.0.2.3")
	}
	check(text[:whole], Coverage{From: monday, To: end, Gaps: torn.Gaps}, "192.0.2.1", "192.0.2.3")
	check(append(bytes.Clone(text[:whole]), make([]byte, 100)...), torn, "192.0.2.1", "192.0.2.3")
	check([]byte("no record"), Coverage{From: monday.Add(time.Hour), To: end, Damaged: 1}, "192.0.2.3")
}

// Calls that do not fit are counted and reported.
func TestRowsAreBounded(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	const extra = 1000
	for i := range 2*maxRows + extra {
		c := callOf("10.0.0.0")
		c.Addr = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		r.Note(monday, c, &limit.Decision{Allowed: true})
	}
	r.come(monday, "10.0.0.0") // has a row already
	r.mustWrite(t, monday.Add(time.Second))
	all, covered := walk(t, r.dir)
	if len(all) > maxRows || len(all)+int(covered.Unrecorded) != 2*maxRows+extra {
		t.Errorf("got %d rows and %d calls without one, of %d", len(all), covered.Unrecorded, 2*maxRows+extra)
	}
	if first := slices.IndexFunc(all, func(s seen) bool { return s.Row.Calls == 2 }); first < 0 {
		t.Error("a caller with a row was not counted any more")
	}
}

// The record keeps its bound in bytes, and the oldest rows go first.
func TestBytesAreBounded(t *testing.T) {
	t.Parallel()
	s := always
	s.MaxBytes = 64 << 10
	r := recorder(t, s, monday)
	at := monday
	for range 300 {
		for i := range 100 {
			c := callOf("10.0.0.0")
			c.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i), byte(i * 7)})
			r.Note(at, c, &limit.Decision{Allowed: true})
		}
		at = at.Add(10 * time.Second)
		r.mustWrite(t, at)
		total := 0
		for _, text := range r.files(t) {
			total += len(text)
		}
		if total > int(s.MaxBytes) {
			t.Fatalf("the record has %d bytes, at most %d are allowed", total, s.MaxBytes)
		}
	}
	all, covered := walk(t, r.dir)
	if n := len(r.files(t)); n < parts || n > 2*parts {
		t.Errorf("got %d files, want about %d", n, parts)
	}
	if !covered.From.After(monday) || !covered.To.Equal(at) || len(covered.Gaps) > 0 || all[len(all)-1].Second != at.Unix()-10 {
		t.Errorf("got %+v, want the latest part of it", covered)
	}
}

// No row exceeds the maximum age, whether calls are still recorded or not.
func TestAgeIsBounded(t *testing.T) {
	t.Parallel()
	s := always
	s.Keep = 16 * time.Hour
	r := recorder(t, s, monday)
	at := monday
	step := func() {
		r.come(at, "192.0.2.1")
		at = at.Add(10 * time.Minute)
		r.tick(at)
		for _, f := range must(segments(r.dir)) {
			if at.Sub(f.began) > s.Keep {
				t.Fatalf("at %v there is a file of %v", at, f.began)
			}
		}
	}
	for range 6 * 24 {
		step()
	}
	all, _ := walk(t, r.dir)
	if oldest := at.Sub(time.Unix(all[0].Second, 0)); oldest > s.Keep || oldest < s.Keep-2*time.Hour {
		t.Errorf("the oldest row is of %v ago, want nearly %v", oldest, s.Keep)
	}
	s.Record = false
	r.Reload(s)
	n := len(r.files(t))
	for range 6 * 17 {
		step()
	}
	if left := len(r.files(t)); n == 0 || left > 0 {
		t.Errorf("of %d files %d are left", n, left)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A reader learns when the limits changed, and when nothing was recorded.
// Silence is not a gap.
func TestCoverage(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	at := func(s int) time.Time { return monday.Add(time.Duration(s) * time.Second) }
	r.come(at(0), "192.0.2.1")
	for s := range 200 {
		r.tick(at(s)) // mostly without calls
	}
	r.mustWrite(t, at(200))
	next := always
	next.Limits = 8
	r.settings = next
	r.mustWrite(t, at(210))
	restart(t, r, next, at(300))
	r.mustWrite(t, at(310))
	_, covered := walk(t, r.dir)
	want := Coverage{From: monday, To: at(310), Gaps: []Gap{{at(210), at(300)}}, Changes: []time.Time{at(200)}}
	if diff := cmp.Diff(want, covered, comparing); diff != "" || covered.Missing() != 90*time.Second {
		t.Error("(-want +got):\n" + diff)
	}
	if _, covered := walkIn(t, r.dir, at(400), at(500)); !covered.From.IsZero() {
		t.Errorf("of a time without a record: got %+v", covered)
	}
	if _, covered := walkIn(t, filepath.Join(r.dir, "none"), at(0), at(500)); !covered.From.IsZero() {
		t.Errorf("of no record: got %+v", covered)
	}
}

// A clock that is put back neither breaks the order nor loses a call.
func TestClockPutBack(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	for _, second := range []int{0, 20, 40, 5, 6, 30, 50} {
		at := monday.Add(time.Duration(second) * time.Second)
		r.come(at, "192.0.2.1")
		r.mustWrite(t, at)
	}
	all, _ := walk(t, r.dir)
	calls := uint32(0)
	for _, s := range all {
		calls += s.Row.Calls
	}
	if calls != 7 || !slices.IsSortedFunc(all, func(a, b seen) int { return int(a.Second - b.Second) }) {
		t.Errorf("got %+v", all)
	}
}

// A file may extend past the beginning of the next one if the clock was put
// back when the next one was begun, as at the start of a machine.
func TestClockPutBackAtFirst(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	at := func(minute int) time.Time { return monday.Add(time.Duration(minute) * time.Minute) }
	for _, minute := range []int{60, 0, 80} { // first an hour too late
		r.come(at(minute), "192.0.2.1")
		r.mustWrite(t, at(minute).Add(time.Second))
		if err := os.Chtimes(r.file.Name(), time.Time{}, at(minute)); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := walkIn(t, r.dir, at(70), at(90)); len(r.files(t)) != 2 || len(got) != 1 || got[0].Second != at(80).Unix() {
		t.Errorf("of %d files got %+v, want the last row", len(r.files(t)), got)
	}
}

// Metrics report what is lost and the size of the record.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	for i := range 2 * maxRows {
		c := callOf("10.0.0.0")
		c.Addr = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		r.Note(monday, c, &limit.Decision{Allowed: true})
	}
	r.tick(monday.Add(time.Minute)) // writes, and updates the size
	r.come(monday, "10.0.0.0")
	r.closeSegment()
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(); err == nil {
		t.Error("no error")
	}
	got := map[string]float64{}
	reg := prometheus.NewPedanticRegistry()
	r.Register(reg)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	if lost := got["trackway_traffic_unrecorded_calls_total"]; lost < maxRows || lost > 2*maxRows {
		t.Errorf("%v calls are unrecorded, want about half of %d", lost, 2*maxRows)
	}
	if got["trackway_traffic_write_errors_total"] != 1 || got["trackway_traffic_record_bytes"] < 10_000 {
		t.Errorf("got %v", got)
	}
}

// While recording is off, nothing is recorded and nothing is on the disk. Calls
// noted during that time do not appear later.
func TestOff(t *testing.T) {
	t.Parallel()
	r := New(filepath.Join(t.TempDir(), "traffic"), roots, slog.New(slog.DiscardHandler))
	r.come(monday, "192.0.2.1")
	r.tick(monday)
	if err := r.Flush(); err != nil || r.On() {
		t.Errorf("got %v, %v", err, r.On())
	}
	if _, err := os.Stat(r.dir); !os.IsNotExist(err) {
		t.Errorf("there is a directory: %v", err)
	}
	r.Reload(always)
	r.come(monday, "192.0.2.2")
	off := always
	off.Record = false
	r.Reload(off) // writes
	r.come(monday, "192.0.2.3")
	r.Reload(always)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if all, _ := walk(t, r.dir); len(all) != 1 || all[0].Row.Addr.String() != "192.0.2.2" {
		t.Errorf("got %+v", all)
	}
}

// A failing disk loses the rows that were to be written. The failure is logged
// once, and the recorder recovers when the disk does.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir := filepath.Join(t.TempDir(), "traffic")
	r := New(dir, roots, slog.New(slog.NewTextHandler(&log, nil)))
	r.Reload(always)
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // prevents the creation of the directory
		t.Fatal(err)
	}
	for i := range 3 {
		r.come(monday, "192.0.2.1")
		if err := r.Flush(); err == nil {
			t.Errorf("%d: no error", i)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "192.0.2") {
		t.Errorf("got %d lines:\n%s", n, &log)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r.come(monday, "192.0.2.2")
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if all, _ := walk(t, dir); len(all) != 1 || all[0].Row.Addr.String() != "192.0.2.2" || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("got %+v\n%s", all, &log)
	}
}

// A failure to remove is logged once, however often it is tried, and recording
// continues.
func TestOldCannotBeRemoved(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := recorder(t, always, monday)
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	r.come(monday, "192.0.2.1")
	r.mustWrite(t, monday)
	stuck := filepath.Join(r.dir, monday.Add(-2*always.Keep).Format(nameLayout)+suffix)
	if err := os.MkdirAll(filepath.Join(stuck, "not empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	at := monday
	r.come(at, "192.0.2.1")
	for range 5 {
		at = at.Add(time.Minute)
		r.tick(at)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "cannot be removed") {
		t.Errorf("got %d lines:\n%s", n, &log)
	}
	if n := r.totals.failures.Load(); n != 0 {
		t.Errorf("%d writes failed", n)
	}
}

// An operator can remove the record, and later calls are recorded again.
func TestRemoved(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	for i, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		at := monday.Add(time.Duration(i) * time.Minute)
		r.come(at, addr)
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
		r.mustWrite(t, at.Add(time.Second))
	}
	if all, _ := walk(t, r.dir); len(all) != 1 || all[0].Row.Addr.String() != "192.0.2.2" {
		t.Errorf("got %+v", all)
	}
}

// Note does not allocate, once the callers of a second are known.
func TestNoteDoesNotAllocate(t *testing.T) {
	r := recorder(t, always, monday)
	c, d := callOf("192.0.2.1"), &limit.Decision{Allowed: true}
	r.Note(monday, c, d)
	if n := allocs.PerRun(1000, func() { r.Note(monday, c, d) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
