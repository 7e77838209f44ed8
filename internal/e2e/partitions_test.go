package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trackway/internal/destination/postgres/postgrestest"
	"trackway/internal/scale"
	"trackway/internal/sleep"
)

const (
	partitions    = 3
	partitionSize = 5 // projects, and then one more
)

// partitionSecret is the secret of a project's key.
func partitionSecret(i int) string { return fmt.Sprintf("q7Rk2vXw9LbTn4Yd6Hs1Zf8Jc3Mg5Pa-%d", i) }

func partitionToken(i int) string { return fmt.Sprintf("%08d-1111-4222-8333-444444444444", i) }

// partitioned is a configuration with n projects in several partitions, and a
// folder that gets everything.
func partitioned(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server: {name: %s}\npartitions: %d\nprojects:\n", serverName, partitions)
	for i := range n {
		fmt.Fprintf(&b, "  - {name: p%d, token: %s, identifiers: {hard: [registered], soft: [cookie]}, personal: [email],\n"+
			"     keys: [{name: k, kind: private, id: key-%d, secret: %s}]}\n", i, partitionToken(i), i, partitionSecret(i))
	}
	return b.String() + wideLimits + "destinations:\n  - {name: copy, kind: file, path: copy, batch: {every: 50ms}}\n"
}

// ask sends a request for a project.
func (s *server) ask(ctx context.Context, project int, path string, body any) (int, map[string]any, error) {
	method, text := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		text, _ = json.Marshal(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.public+strings.Replace(path, "{token}", partitionToken(project), 1), strings.NewReader(string(text)))
	if err != nil {
		return 0, nil, err
	}
	r.SetBasicAuth(fmt.Sprint("key-", project), partitionSecret(project))
	res, err := web.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	var answer map[string]any
	return res.StatusCode, answer, json.NewDecoder(res.Body).Decode(&answer)
}

// askAgain is ask for servers that may be electing a leader, as again is do.
func (s *server) askAgain(t *testing.T, project int, path string, body any) (status int, answer map[string]any, err error) {
	t.Helper()
	for end := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
		status, answer, err = s.ask(t.Context(), project, path, body)
		if err != nil || status != http.StatusServiceUnavailable || time.Now().After(end) {
			return status, answer, err
		}
	}
}

// partitionWriter sends to one project, and knows what was acknowledged.
type partitionWriter struct {
	project, sent  int
	acked, unknown []string
	merged         map[string]string // cookies whose events belong to somebody now
}

// send sends events of visitors who then turn out to be somebody, until the
// server is gone.
func (w *partitionWriter) send(ctx context.Context, t *testing.T, s *server, acked func()) {
	t.Helper()
	for ctx.Err() == nil {
		name := fmt.Sprintf("p%d-%d", w.project, w.sent)
		cookie, person := "visitor-"+name, fmt.Sprintf("person-%d", w.sent%7)
		w.sent++
		event := func(kind string, ids obj) obj {
			return obj{"name": "customers/events", "data": obj{
				"customer_ids": ids, "event_type": "round", "timestamp": loadTime + float64(w.sent)/8, "properties": obj{"name": name + kind, "email": person + "@example.com"},
			}}
		}
		status, _, err := s.ask(ctx, w.project, "/track/v2/projects/{token}/batch", obj{"commands": []obj{
			event("-a", obj{"cookie": cookie}), event("-b", obj{"cookie": cookie, "registered": person}),
		}})
		if err != nil || status == http.StatusServiceUnavailable {
			w.unknown = append(w.unknown, name+"-a", name+"-b")
			return
		}
		if status != http.StatusOK {
			t.Errorf("got status %d", status)
			return
		}
		w.acked = append(w.acked, name+"-a", name+"-b")
		w.merged[cookie] = person
		acked()
	}
}

// check compares what the server has of a project with what its writer knows.
func (w *partitionWriter) check(t *testing.T, s *server, args ...string) {
	t.Helper()
	stored := names(t, s.run(t, 0, append([]string{"export", "--events", "--project", fmt.Sprint("p", w.project)}, args...)...), "round")
	for _, name := range w.acked {
		if stored[name] != 1 {
			t.Errorf("project %d: %s is there %d times", w.project, name, stored[name])
		}
		delete(stored, name)
	}
	for name, n := range stored {
		if !slices.Contains(w.unknown, name) || n != 1 {
			t.Errorf("project %d: %s is there %d times, and nobody knows of it", w.project, name, n)
		}
	}
}

// TestPartitions: a server with three partitions and five projects does what
// one with a single store does. Each round ends with signal 9.
func TestPartitions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var writers []*partitionWriter
	var s *server
	for round := range scale.Of(6, 2) {
		n := partitionSize
		if round > 0 {
			n++ // a new project
		}
		for i := len(writers); i < n; i++ {
			writers = append(writers, &partitionWriter{project: i, merged: map[string]string{}})
		}
		s = startIn(t, dir, partitioned(n))
		s.log.mayHold("the folder")
		for _, w := range writers {
			w.check(t, s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var running sync.WaitGroup
		acks := make(chan struct{}, 1<<16)
		for _, w := range writers {
			running.Go(func() { w.send(ctx, t, s, func() { acks <- struct{}{} }) })
		}
		for range 60 + 10*round {
			select {
			case <-acks:
			case <-ctx.Done():
				t.Errorf("no acknowledgement\n%s", s.log)
			}
		}
		s.kill(t)
		cancel()
		running.Wait()
	}
	s = startIn(t, dir, partitioned(len(writers)))
	for _, w := range writers {
		w.check(t, s)
	}
	for part := range partitions { // projects are in all of them
		if entries, err := os.ReadDir(filepath.Join(dir, "data", fmt.Sprintf("p%02d", part), "store")); err != nil || len(entries) < 5 {
			t.Errorf("partition %d: %v, %v", part, entries, err)
		}
	}

	s.run(t, 0, "backup", "backups")
	checkPartitionReads(t, s, writers)
	checkPartitionErasure(t, s, writers[4])
	checkPartitionCopies(t, s)
	if status := s.stop(t); status != 0 {
		t.Errorf("status %d", status)
	}
	s.run(t, 0, "restore", "backups", "--data", filepath.Join(dir, "restored"))
	for _, w := range writers {
		w.check(t, s, "--data", filepath.Join(dir, "restored"))
	}
	s.run(t, 0, "salvage")
	for _, other := range []string{"partitions: 2", "partitions: 1"} {
		config := filepath.Join(dir, "other.yaml")
		if err := os.WriteFile(config, []byte(strings.Replace(partitioned(1), "partitions: 3", other, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		refused := launch(t, dir, "--config", config, "--data", filepath.Join(dir, "data"))
		if status := refused.await(t, patience); status != 1 || !strings.Contains(refused.log.all(), "has partitions: 3, and the setting "+strings.Replace(other, ":", " is", 1)) {
			t.Errorf("%s: status %d, and\n%s", other, status, refused.log)
		}
	}
}

// checkPartitionReads checks that readers of a project see its customers.
func checkPartitionReads(t *testing.T, s *server, writers []*partitionWriter) {
	t.Helper()
	for _, w := range writers {
		cookies := slices.Sorted(maps.Keys(w.merged))
		cookie := cookies[len(cookies)/2]
		status, found, err := s.ask(t.Context(), w.project, "/data/v2/projects/{token}/customers/export-one", obj{"customer_ids": obj{"cookie": cookie}})
		ids, _ := found["ids"].(map[string]any)
		if err != nil || status != http.StatusOK || ids["registered"] != w.merged[cookie] {
			t.Errorf("project %d: %s: got %d %v, %v, want %s", w.project, cookie, status, ids, err, w.merged[cookie])
		}
		status, page, err := s.ask(t.Context(), w.project, "/api/projects/{token}/events?type=round&rows=3", nil)
		rows, _ := page["rows"].([]any)
		if err != nil || status != http.StatusOK || len(rows) != 3 {
			t.Errorf("project %d: got %d %v, %v", w.project, status, page, err)
		}
		for _, row := range rows {
			if text := fmt.Sprint(row); !strings.Contains(text, fmt.Sprintf("p%d-", w.project)) {
				t.Errorf("project %d: got %s", w.project, text)
			}
		}
	}
}

// checkPartitionErasure erases somebody, and awaits that all files lose it.
func checkPartitionErasure(t *testing.T, s *server, w *partitionWriter) {
	t.Helper()
	status, answer, err := s.ask(t.Context(), w.project, "/data/v2/projects/{token}/customers/anonymize", obj{"customer_ids": obj{"registered": "person-1"}})
	if err != nil || status != http.StatusOK {
		t.Fatal(status, answer, err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(lookAgain) { //nolint:forbidigo // the server decides when it has time for it
		_, list, err := s.ask(t.Context(), w.project, "/api/projects/{token}/erasures", nil)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(list); strings.Contains(text, "state:done") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("got %s", text)
		}
	}
	if out := s.run(t, 0, "export", "--customers", "--project", fmt.Sprint("p", w.project)); strings.Contains(out, "person-1\"") {
		t.Error("the customer is still there")
	}
	// in the same partition
	if out := s.run(t, 0, "export", "--customers", "--project", "p1"); !strings.Contains(out, "person-1\"") {
		t.Error("a customer of another project was erased")
	}
}

// checkPartitionCopies checks that the folder has everything, of each
// partition.
func checkPartitionCopies(t *testing.T, s *server) {
	t.Helper()
	list := s.run(t, 0, "destinations", "list")
	for part := range partitions {
		name := fmt.Sprintf("copy/p%02d", part)
		if !strings.Contains(list, name) {
			t.Errorf("%s is not in\n%s", name, list)
		}
		if out := s.run(t, 0, "destinations", "verify", name); !strings.Contains(out, "missing 0, doubled 0, different 0, foreign 0") || strings.Contains(out, "compared 0") {
			t.Errorf("got %s", out)
		}
	}
	s.run(t, 1, "destinations", "verify", "copy")
	s.run(t, 1, "destinations", "pause", "copy/p09")
	s.run(t, 0, "destinations", "pause", "copy")
	if list := s.run(t, 0, "destinations", "list"); strings.Count(list, "paused") != partitions {
		t.Errorf("after pause: got\n%s", list)
	}
}

// TestPartitionsInPostgres: each partition has a schema of its own, with all
// events of its projects, although the server and the database are killed.
func TestPartitionsInPostgres(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts a database")
	}
	server := postgrestest.Start(t)
	database := server.Database(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "url")
	if err := os.WriteFile(secret, []byte(database.URL()), 0o600); err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(partitioned(partitionSize), "kind: file, path: copy", "kind: postgres, prefix: shop, url_file: "+secret, 1)
	s := startIn(t, dir, config)
	var writers []*partitionWriter
	for i := range partitionSize {
		writers = append(writers, &partitionWriter{project: i, merged: map[string]string{}})
	}
	for round := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var running sync.WaitGroup
		acks := make(chan struct{}, 1<<16)
		for _, w := range writers {
			running.Go(func() { w.send(ctx, t, s, func() { acks <- struct{}{} }) })
		}
		for range 50 {
			select {
			case <-acks:
			case <-ctx.Done():
				t.Errorf("no acknowledgement\n%s", s.log)
			}
		}
		if round == 1 {
			server.Kill()
		}
		s.kill(t)
		cancel()
		running.Wait()
		if round == 1 {
			if err := server.Run(); err != nil {
				t.Fatal(err)
			}
		}
		s = startIn(t, dir, config)
	}
	s.log.mayHold("destination")
	for part := range partitions {
		name := fmt.Sprintf("copy/p%02d", part)
		for deadline := time.Now().Add(patience); ; time.Sleep(lookAgain) { //nolint:forbidigo // it catches up when it can
			out := s.run(t, 0, "destinations", "list")
			line := out[strings.Index(out, name):]
			if fields := strings.Fields(line); fields[2] == "running" && fields[4] == "0" {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("got %s", out)
			} else if fields[2] == "retrying" {
				s.run(t, 0, "destinations", "resume", name) // at once
			}
		}
		if out := s.run(t, 0, "destinations", "verify", name); !strings.Contains(out, "missing 0, doubled 0, different 0, foreign 0") {
			t.Errorf("got %s", out)
		}
	}
	for _, w := range writers {
		stored := map[string]bool{}
		for part := range partitions {
			for _, row := range database.SQL(t, fmt.Sprintf("SELECT properties->>'name' FROM shop_p%02d.events WHERE project = 'p%d' AND type = 'round'", part, w.project)) {
				stored[row[0]] = true
			}
		}
		for _, name := range w.acked {
			if !stored[name] {
				t.Errorf("project %d: %s is missing", w.project, name)
			}
		}
	}
}
