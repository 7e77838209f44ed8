package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// movedRow is the n-th line of a file to import: an event with its own time,
// for one of a hundred customers.
func movedRow(n int) string {
	return fmt.Sprintf(`{"name":"customers/events","data":{"customer_ids":{"registered":"mover-%d"},"event_type":"moved",`+
		`"timestamp":%d.5,"properties":{"name":"row-%d","padding":"%s"}}}`, n%100, loadTime+n, n, strings.Repeat("x", 200))
}

// writeRows writes a file with a number of rows.
func writeRows(t *testing.T, path string, rows int) {
	t.Helper()
	var b bytes.Buffer
	for n := range rows {
		b.WriteString(movedRow(n))
		b.WriteByte('\n')
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tool returns a trackway command on the data directory of a server, which may
// be stopped.
func tool(t *testing.T, s *server, args ...string) *exec.Cmd {
	t.Helper()
	data := filepath.Join(filepath.Dir(s.config), "data")
	at := 1
	if args[0] == "destinations" || args[0] == "alarms" {
		at = 2 // after the command below it
	}
	args = slices.Insert(args, at, "--config", s.config, "--data", data)
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Dir = filepath.Dir(s.config)
	return cmd
}

// run runs trackway until it ends, and checks its exit status.
func (s *server) run(t *testing.T, want int, args ...string) (stdout string) {
	t.Helper()
	cmd := tool(t, s, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != want {
		t.Fatalf("trackway %s: got %v, want exit status %d\n%s%s", strings.Join(args, " "), err, want, &out, &errs)
	}
	return out.String()
}

// names counts the events of a type in an export by their property name.
func names(t *testing.T, exported, eventType string) map[string]int {
	t.Helper()
	count := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(exported))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Data struct {
				Type       string `json:"event_type"`
				Properties struct{ Name string }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if row.Data.Type == eventType {
			count[row.Data.Properties.Name]++
		}
	}
	return count
}

// An import is interrupted, by its own end or by the server's. It continues
// where it stopped, and every row is stored once. Clients track all the while.
func TestImportIsResumed(t *testing.T) {
	t.Parallel()
	const rows = 200_000
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig+wideLimits)
	file := filepath.Join(dir, "rows.ndjson")
	writeRows(t, file, rows)

	var tracked []string
	track := func(s *server, until <-chan struct{}) {
		for ; ; tracked = append(tracked, fmt.Sprint("load-", len(tracked))) {
			select {
			case <-until:
				return
			default:
			}
			body := fmt.Appendf(nil, `{"customer_ids":{"cookie":"m"},"event_type":"load","timestamp":1,"properties":{"name":"load-%d"}}`, len(tracked))
			res, err := s.try(t.Context(), request{path: "/track/v2/projects/{token}/customers/events", body: body})
			if err != nil || !res.success() {
				return // the server has gone
			}
		}
	}
	interrupt := func(what string, goesOn bool, interrupt func(*exec.Cmd)) {
		t.Helper()
		before := offsetOf(t, file)
		end := make(chan struct{})
		var load sync.WaitGroup
		load.Go(func() { track(s, end) })
		cmd := tool(t, s, "import", "-q", "rows.ndjson")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitProgress(t, s, before, file)
		interrupt(cmd)
		err := cmd.Wait()
		close(end)
		load.Wait()
		if err == nil {
			t.Fatalf("%s: the import was over before it was interrupted", what)
		}
		if goesOn && !strings.Contains(errs.String(), "the same command continues") {
			t.Errorf("%s: got %q, want to be told how to go on", what, &errs)
		}
		t.Logf("%s: %d bytes were acknowledged", what, offsetOf(t, file))
	}
	interrupt("the server is killed", true, func(*exec.Cmd) { s.kill(t) })
	s = startIn(t, dir, baseConfig+wideLimits) // although the old socket is still there
	interrupt("the server is stopped", true, func(*exec.Cmd) {
		if status := s.stop(t); status != 0 {
			t.Errorf("the server ended with %d", status)
		}
	})
	s = startIn(t, dir, baseConfig+wideLimits)
	interrupt("the import is killed", false, func(c *exec.Cmd) { _ = c.Process.Kill() })
	interrupt("the import is interrupted", true, func(c *exec.Cmd) { _ = c.Process.Signal(os.Interrupt) })
	if out := s.run(t, 0, "import", "-q", "rows.ndjson"); !strings.Contains(out, "from line") {
		t.Errorf("got %q, want an import that goes on", out)
	}
	if _, err := os.Stat(file + ".import.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state is still there: %v", err)
	}
	exported := s.run(t, 0, "export", "--events")
	moved := names(t, exported, "moved")
	for n := range rows {
		if name := fmt.Sprint("row-", n); moved[name] != 1 {
			t.Fatalf("%s is there %d times", name, moved[name])
		}
	}
	compare(t, "tracked meanwhile", tracked, names(t, exported, "load"), 1)
	if len(tracked) == 0 {
		t.Error("nothing was tracked meanwhile")
	}
	s.log.private("mover-")
}

// Updates of a customer in an import take effect in the order of the file, even
// without times, and although several batches are under way at once: the last
// update wins, and events follow each other.
func TestImportKeepsOrder(t *testing.T) {
	t.Parallel()
	const rows = 10_000
	s := start(t, baseConfig+wideLimits)
	ids := map[string]any{"registered": "jane"}
	var b bytes.Buffer
	var want []int
	for n := range rows {
		of, _ := json.Marshal(map[bool]any{true: ids, false: obj{"registered": "jane", "cookie": fmt.Sprint("c", n%7)}}[n%5 > 0])
		if n%100 == 99 {
			fmt.Fprintf(&b, `{"name":"customers","data":{"customer_ids":%s,"properties":{"n":%d}}}`+"\n", of, n)
			continue
		}
		fmt.Fprintf(&b, `{"name":"customers/events","data":{"customer_ids":%s,"event_type":"consent","properties":{"n":%d}}}`+"\n", of, n)
		want = append(want, n)
	}
	file := filepath.Join(filepath.Dir(s.config), "rows.ndjson")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0, "import", "-q", file)
	c := s.exportOne(t, ids)
	var got []int
	for _, e := range c.Events {
		got = append(got, numberOf(t, e.Properties))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d events, or in another order, want %d", len(got), len(want))
	}
	if n := c.Properties["n"]; n != float64(rows-1) {
		t.Errorf("got the property %v, want that of the last update, %d", n, rows-1)
	}
}

// The progress of an import into one store does not count for another store,
// which has none of the rows.
func TestImportIntoAnotherStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.ndjson"), filepath.Join(dir, "bad.ndjson")
	writeRows(t, good, 10)
	if err := os.WriteFile(bad, []byte("[]\n"), 0o600); err != nil { // this is noticed once it is its turn
		t.Fatal(err)
	}
	stores := make([]*server, 2)
	for i := range stores {
		stores[i] = &server{config: filepath.Join(t.TempDir(), "trackway.yaml")}
		if err := os.WriteFile(stores[i].config, []byte(baseConfig), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The first file is done. This is noted as long as the second is not done.
	stores[0].run(t, 1, "import", "-q", good, bad)
	if offsetOf(t, good) == 0 {
		t.Fatal("the state of the first file is not there")
	}
	stores[1].run(t, 1, "import", "-q", good)
	stores[1].run(t, 0, "import", "-q", "--again", good)
	if got := names(t, stores[1].run(t, 0, "export", "--events"), "moved"); len(got) != 10 {
		t.Errorf("%d rows are there, want 10", len(got))
	}
}

// offsetOf returns how far the import of a file has come.
func offsetOf(t *testing.T, file string) int64 {
	t.Helper()
	text, err := os.ReadFile(file + ".import.json")
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	var state struct{ Offset int64 }
	if err := errors.Join(err, json.Unmarshal(text, &state)); err != nil {
		t.Fatal(err)
	}
	return state.Offset
}

// awaitProgress waits until more of a file has been acknowledged.
func awaitProgress(t *testing.T, s *server, before int64, file string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for offsetOf(t, file) <= before {
		select {
		case <-tick.C:
		case <-s.exited:
			t.Fatal("the server has ended")
		case <-ctx.Done():
			t.Fatal("the import does not move")
		}
	}
}

// Commands cannot use the data of a running server. They can use a killed
// server's data at once.
func TestDataInUse(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	socket := filepath.Join(filepath.Dir(s.config), "data", "control.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("got %v, %v, want a socket of mode 0600", info, err)
	}
	moved := socket + ".moved"
	if err := os.Rename(socket, moved); err != nil {
		t.Fatal(err)
	}
	cmd := tool(t, s, "export")
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("in use by another process; it does not answer")) {
		t.Errorf("got %v, %s", err, out)
	}
	if err := os.Rename(moved, socket); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0, "export")
	s.kill(t)
	if _, err := os.Stat(socket); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0, "export")
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// An export that is imported into an empty server arrives unchanged: customers,
// identifiers, properties with their times, and events in the same order.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	s.track(t, "customers", obj{"customer_ids": obj{"registered": "jane"}, "properties": obj{"plan": "free", "b": nil}, "update_timestamp": 1000.5})
	s.track(t, "customers", obj{"customer_ids": obj{"registered": "jane"}, "properties": obj{"plan": "pro", "ä\"\n": obj{"z": []any{1, "2"}}}, "update_timestamp": 2000})
	s.track(t, "customers", obj{"customer_ids": obj{"cookie": "only"}})
	s.track(t, "customers/events", obj{"customer_ids": obj{"cookie": "c1"}, "event_type": "before the merge", "timestamp": 1.25})
	s.track(t, "customers/events", obj{"customer_ids": obj{"cookie": "c1", "registered": "jane"}, "event_type": "merging"})
	s.track(t, "customers/events", obj{"customer_ids": obj{"cookie": []string{"[x]", "c2"}, "registered": "joe"}, "event_type": "Order \"Completed\"", "properties": obj{"price": json.Number("1.50")}})
	first := s.run(t, 0, "export")
	if n := strings.Count(first, "\n"); n != 8 {
		t.Errorf("got %d lines, want 8: two of Jane, two other customers, three events and the record of a merge\n%s", n, first)
	}
	dir := t.TempDir()
	empty := &server{config: filepath.Join(dir, "trackway.yaml")}
	for name, text := range map[string]string{"trackway.yaml": baseConfig, "all.ndjson": first} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty.run(t, 0, "import", "-q", "all.ndjson")
	if second := empty.run(t, 0, "export"); second != first {
		t.Errorf("got\n%s\nwant\n%s", second, first)
	}

	// The exported tables can be imported, too.
	empty.run(t, 0, "export", "--events", "-o", "events.csv", "-q")
	another := &server{config: filepath.Join(t.TempDir(), "trackway.yaml")}
	if err := os.WriteFile(another.config, []byte(baseConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	another.run(t, 0, "import", "-q", filepath.Join(dir, "events.csv"))
	got, want := linesOf(another.run(t, 0, "export", "--events")), linesOf(empty.run(t, 0, "export", "--events"))
	if !slices.Equal(got, want) {
		t.Errorf("by CSV: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

type obj = map[string]any

func linesOf(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// A backup during tracking contains everything acknowledged before, and can be
// restored.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig+wideLimits)
	var l load
	var out string
	var acked int64
	l.sendUntil(t, s, 200, func() {
		acked = l.acks.Load()
		out = s.run(t, 0, "backup", "backups")
		s.stop(t)
	})
	if !strings.Contains(out, "Backups there: 1") || !strings.Contains(out, filepath.Join(dir, "backups")) {
		t.Errorf("got %q", out)
	}
	s.run(t, 0, "restore", "backups", "--data", filepath.Join(dir, "restored"))
	s.run(t, 1, "restore", "backups", "--data", filepath.Join(dir, "restored"))

	before := names(t, s.run(t, 0, "export", "--events"), "load")
	restored := tool(t, s, "export", "--events", "--data", filepath.Join(dir, "restored"))
	text, err := restored.Output()
	if err != nil {
		t.Fatal(err)
	}
	after := names(t, string(text), "load")
	if int64(len(after)) < acked {
		t.Errorf("%d events were restored, of at least %d that were acknowledged before", len(after), acked)
	}
	for name, n := range after {
		if n != 1 || before[name] != 1 {
			t.Errorf("%s is there %d times, and was %d times", name, n, before[name])
		}
	}
}

// A watcher sees events as they come, and only those that it asked for.
func TestTail(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	s.track(t, "customers/events", obj{"customer_ids": obj{"registered": "jane"}, "event_type": "old", "properties": obj{"name": "0"}})
	cmd := tool(t, s, "tail", "--type", "seen", "--type", "old", "--customer", "registered=jane", "--last", "5")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the end (%v), want %s", lines.Err(), want)
		}
		if !strings.Contains(lines.Text(), want) {
			t.Fatalf("got %s, want %s", lines.Text(), want)
		}
	}
	next(`"name":"0"`)
	s.track(t, "customers/events", obj{"customer_ids": obj{"registered": "jane"}, "event_type": "other"})
	s.track(t, "customers/events", obj{"customer_ids": obj{"registered": "joe"}, "event_type": "seen"})
	s.track(t, "customers/events", obj{"customer_ids": obj{"registered": "jane"}, "event_type": "seen", "properties": obj{"name": "1"}})
	next(`"name":"1"`)
	s.track(t, "customers/events", obj{"customer_ids": obj{"registered": "jane"}, "event_type": "seen", "properties": obj{"name": "2"}})
	next(`"name":"2"`)
	if got := s.stop(t); got != 0 {
		t.Errorf("the server ended with %d while somebody watched", got)
	}
	if lines.Scan() {
		t.Errorf("got %s at the end", lines.Text())
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1: the server has stopped", err)
	}
	s.run(t, 1, "tail")
}
