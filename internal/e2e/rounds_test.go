package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	roundsFlag = flag.Int("rounds", 4, "how many `rounds` TestRounds makes")
	seedFlag   = flag.Uint64("seed", 0, "how TestRounds goes; 0: as it comes")
)

const (
	roundWriters = 6
	roundsFresh  = 25 // rounds on one data directory
	roundMost    = 150
)

// rounds is what writers sent to one data directory, and the answers. While
// they send, each uses its own element.
type rounds struct {
	random  *rand.Rand
	writers [roundWriters]roundWriter
	seen    outcomes
}

type roundWriter struct {
	made     int
	acked    []string          // names of events
	unknown  []string          // of requests without an answer
	erased   []string          // addresses of customers whose erasure was acknowledged
	merged   map[string]string // a visitor's cookie to the person, for the last acknowledged merge
	erasable string            // a cookie whose customer has an address
}

// outcomes counts what happened with spoiled copies.
type outcomes struct{ whole, refused, told, lost int }

// TestRounds: nothing acknowledged is ever missing without a report. In each
// round, several writers send events, merges and erasures, and the server is
// killed with signal 9 at a random moment. After a restart, nothing is lost. In
// every second round, one random bit of the newest write-ahead log is flipped
// in a copy. A server on this copy must refuse to start, report the damage, or
// have everything.
//
// The flag -rounds sets the number of rounds, and -seed their course.
func TestRounds(t *testing.T) {
	t.Parallel()
	n, seed := *roundsFlag, *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	r := &rounds{random: rand.New(rand.NewPCG(seed, 0))}
	var dir string
	for round := range n {
		if round%roundsFresh == 0 {
			dir = t.TempDir()
			r.writers = [roundWriters]roundWriter{}
		}
		s := startIn(t, dir, baseConfig+wideLimits)
		s.log.private("person-", "visitor-", "@example.com")
		if missing := r.missing(t, s); len(missing) > 0 {
			t.Fatalf("round %d: %d acknowledged are missing after a kill, such as %q", round, len(missing), missing[:min(5, len(missing))])
		}
		r.send(t, s)
		if round%2 == 1 {
			r.spoiled(t, dir, round)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds; of the spoiled copies %d started and had everything, %d refused to start (%d of them had lost something), %d started and reported what is damaged",
		n, r.seen.whole, r.seen.refused, r.seen.lost, r.seen.told)
}

// send makes all writers send, and kills the server meanwhile.
func (r *rounds) send(t *testing.T, s *server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	target, acks := int64(1+r.random.IntN(roundMost)), atomic.Int64{}
	enough := make(chan struct{})
	var writers sync.WaitGroup
	for i := range r.writers {
		random := rand.New(rand.NewPCG(r.random.Uint64(), 0))
		writers.Go(func() {
			for r.writers[i].send(ctx, t, s, i, random) {
				if acks.Add(1) == target {
					close(enough)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Errorf("%d requests were acknowledged, want %d\n%s", acks.Load(), target, s.log)
	}
	s.kill(t)
	writers.Wait()
}

// send sends a writer's next request. It returns false if there is no answer.
func (w *roundWriter) send(ctx context.Context, t *testing.T, s *server, i int, random *rand.Rand) bool {
	t.Helper()
	if w.erasable != "" && random.IntN(2) == 0 {
		cookie := w.erasable
		w.erasable = ""
		return w.erase(ctx, t, s, cookie)
	}
	n := w.made
	w.made++
	cookie, person := fmt.Sprintf("visitor-%d-%d", i, n), fmt.Sprintf("person-%d-%d", i, n/40)
	event := func(part string, ids map[string]any, properties map[string]any) (string, command) {
		name := fmt.Sprintf("round-%d-%d-%s", i, n, part)
		properties["name"] = name
		return name, command{"customers/events", encode(t, map[string]any{
			"customer_ids": ids, "event_type": "round", "timestamp": loadTime + float64(n)/8, "properties": properties,
		})}
	}
	var names []string
	var commands []command
	add := func(name string, c command) { names, commands = append(names, name), append(commands, c) }
	kind := random.IntN(4)
	switch kind {
	case 0: // a merge
		add(event("visit", map[string]any{"cookie": cookie}, map[string]any{}))
		add(event("merge", map[string]any{"cookie": cookie, "registered": person}, map[string]any{}))
	case 1: // will be erased
		add(event("erased", map[string]any{"cookie": cookie}, map[string]any{"email": cookie + "@example.com"}))
	case 2: // up to a few blocks of the log
		add(event("large", map[string]any{"registered": person}, map[string]any{"text": strings.Repeat("x", random.IntN(15_000))}))
	default:
		for part := range 1 + random.IntN(6) {
			add(event(strconv.Itoa(part), map[string]any{"registered": person}, map[string]any{}))
		}
	}
	res, err := s.try(ctx, request{path: "/track/v2/projects/{token}/batch", body: encode(t, map[string]any{"commands": commands})})
	if err != nil || res.status == http.StatusServiceUnavailable {
		w.unknown = append(w.unknown, names...)
		return false
	}
	if !batchSuccess(res, len(names)) {
		t.Errorf("got %v for %v", res, names)
	}
	w.acked = append(w.acked, names...)
	switch kind {
	case 0:
		w.merged = map[string]string{cookie: person}
	case 1:
		w.erasable = cookie
	}
	return true
}

func (w *roundWriter) erase(ctx context.Context, t *testing.T, s *server, cookie string) bool {
	t.Helper()
	res, err := s.try(ctx, request{
		path: "/data/v2/projects/{token}/customers/anonymize",
		body: encode(t, map[string]any{"customer_ids": map[string]any{"cookie": cookie}}),
	})
	if err != nil || res.status == http.StatusServiceUnavailable {
		return false
	}
	if !res.success() {
		t.Errorf("erasure: got %v", res)
	}
	w.erased = append(w.erased, cookie+"@example.com")
	return true
}

// missing compares a server with what the writers know, and names everything
// that is wrong.
func (r *rounds) missing(t *testing.T, s *server) (missing []string) {
	t.Helper()
	exported := s.run(t, 0, "export", "--events")
	stored := names(t, exported, "round")
	for i := range r.writers {
		w := &r.writers[i]
		for _, name := range w.acked {
			if stored[name] != 1 {
				missing = append(missing, fmt.Sprintf("%s %d times", name, stored[name]))
			}
		}
		for _, name := range w.unknown {
			if stored[name] > 1 {
				t.Errorf("%s is there %d times", name, stored[name])
			}
		}
		for _, address := range w.erased {
			if strings.Contains(exported, `"`+address+`"`) {
				missing = append(missing, "the erasure of "+address)
			}
		}
		for cookie, person := range w.merged {
			if c := s.exportOne(t, map[string]any{"cookie": cookie}); c == nil || c.IDs["registered"] != person {
				missing = append(missing, "the merge of "+cookie)
			}
		}
	}
	return missing
}

// spoiled starts the server on a copy of its directory, with a flipped bit in
// the newest write-ahead log.
func (r *rounds) spoiled(t *testing.T, dir string, round int) {
	t.Helper()
	copied := t.TempDir()
	stores := []string{"store"}
	if text, err := os.ReadFile(filepath.Join(dir, "data", "partitions")); err == nil { // TRACKWAY_PARTITIONS says so
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		stores = nil
		for i := range n {
			stores = append(stores, filepath.Join(fmt.Sprintf("p%02d", i), "store"))
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(copied, "data"), 0o700), os.WriteFile(filepath.Join(copied, "data", "partitions"), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range stores {
		if err := os.CopyFS(filepath.Join(copied, "data", name), os.DirFS(filepath.Join(dir, "data", name))); err != nil {
			t.Fatal(err)
		}
	}
	where := r.flip(t, filepath.Join(copied, "data", stores[r.random.IntN(len(stores))]))
	config := filepath.Join(copied, "trackway.yaml")
	if err := os.WriteFile(config, []byte(baseConfig+wideLimits), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launch(t, copied, "--config", config, "--data", filepath.Join(copied, "data"))
	s.config = config
	s.log.mayHold("the store is damaged")
	if !s.startsOrEnds(t) {
		if !strings.Contains(s.log.all(), "the write-ahead log is damaged") {
			t.Errorf("round %d, %s: it does not start, and does not say why:\n%s", round, where, s.log)
		}
		r.seen.refused++
		s.run(t, 1, "salvage")
		if out := s.run(t, 0, "salvage", "--drop"); !strings.Contains(out, "Lost:") {
			t.Errorf("round %d, %s: got %q", round, where, out)
		}
		s = startIn(t, copied, baseConfig+wideLimits)
		if len(r.missing(t, s)) > 0 {
			r.seen.lost++
		}
		s.kill(t)
		return
	}
	defer s.kill(t)
	missing, reported := r.missing(t, s), s.reportsDamage(t)
	switch {
	case reported:
		r.seen.told++
	case len(missing) == 0:
		r.seen.whole++
	default:
		t.Errorf("round %d, %s: %d acknowledged are missing without a word, such as %q", round, where, len(missing), missing[:min(5, len(missing))])
	}
}

// flip flips a bit of the newest write-ahead log in a directory: half of the
// time in its last 32 KiB, otherwise anywhere in it.
func (r *rounds) flip(t *testing.T, dir string) (where string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	slices.Sort(logs)
	name := logs[len(logs)-1]
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const block = 32 << 10
	end := len(bytes.TrimRight(data, "\x00"))
	from := 0
	if r.random.IntN(2) == 0 {
		from = max(0, end-block)
	}
	if end == 0 {
		return "an empty log"
	}
	at, bit := from+r.random.IntN(end-from), r.random.IntN(8)
	data[at] ^= 1 << bit
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("bit %d of byte %d of %d in %s", bit, at, end, filepath.Base(name))
}

// startsOrEnds waits until a server is ready, or has ended.
func (s *server) startsOrEnds(t *testing.T) (started bool) {
	t.Helper()
	for {
		select {
		case <-s.exited:
			return false
		case <-s.log.changed:
		case <-t.Context().Done():
			t.Fatal("it neither starts nor ends")
		}
		if strings.Contains(s.log.all(), `"msg":"ready"`) {
			s.awaitReady(t) // it is ready: this does not wait
			return true
		}
	}
}

// reportsDamage reports whether the server's metrics show damage to its store.
func (s *server) reportsDamage(t *testing.T) bool {
	t.Helper()
	res, err := web.Get("http://" + s.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "trackway_store_damaged{") && !strings.HasSuffix(line, " 0\n") {
			return true
		}
	}
	return false
}
