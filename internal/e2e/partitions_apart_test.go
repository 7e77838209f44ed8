package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"trackway/internal/catalogue"
	"trackway/internal/sleep"
)

// apart is a configuration with a project in each partition: all have the same
// number in their stores, and so have their customers and events.
func apart() string {
	text := partitioned(partitions)
	for i := range partitions {
		text = strings.Replace(text, fmt.Sprintf("{name: p%d, ", i), fmt.Sprintf("{name: p%d, bots: {label: true}, contracts: [{type: round, schema: {properties: {price: {maximum: %d}}}}], ", i, i), 1)
	}
	return strings.Replace(gridConfig(pagesPassword, ""), baseConfig, text, 1)
}

// ownNames finds the names of events that sendApart has sent.
var ownNames = regexp.MustCompile(`p\d-\d+`)

// apartEvents is how many events a project gets.
func apartEvents(project int) int { return 4 + 3*project }

// sendApart sends to all projects the same customers and times, and other
// names. The prices are 0, 1, 2 and so on.
func sendApart(t *testing.T, s *server) {
	t.Helper()
	for i := range partitions {
		for k := range apartEvents(i) {
			status, answer, err := s.ask(t.Context(), i, "/track/v2/projects/{token}/customers/events", obj{
				"customer_ids": obj{"registered": "somebody"}, "event_type": "round", "timestamp": loadTime, "properties": obj{"name": fmt.Sprintf("p%d-%d", i, k), "price": k},
			})
			if err != nil || status != http.StatusOK {
				t.Fatal(status, answer, err)
			}
		}
	}
}

// wantOwn checks that a text has the events of a project, and of no other.
func wantOwn(t *testing.T, what string, project int, text string) {
	t.Helper()
	got := map[string]bool{}
	for _, name := range ownNames.FindAllString(text, -1) {
		got[name] = true
		if !strings.HasPrefix(name, fmt.Sprintf("p%d-", project)) {
			t.Errorf("%s of project %d has %s of another project:\n%s", what, project, name, text)
			return
		}
	}
	if len(got) != apartEvents(project) {
		t.Errorf("%s of project %d has %d events, want %d:\n%s", what, project, len(got), apartEvents(project), text)
	}
}

// TestPartitionsApart: projects with the same number in different partitions
// are never mixed for any reader, and stay where they are when the
// configuration changes.
func TestPartitionsApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, apart())
	s.log.private("somebody")
	cookie := s.signIn(t, pagesPassword)
	everything := s.watch(t, cookie, "", "")
	sendApart(t, s)
	for i := range partitions {
		checkApart(t, s, dir, i, true)
	}
	// All of them, each project in its order, and from a place in between.
	all, half := apartEvents(0)+apartEvents(1)+apartEvents(2), ""
	after, before := map[string]bool{}, map[any]int{}
	for k := range all {
		m := next(t, everything)
		name, project := ownNames.FindString(fmt.Sprint(m.data)), m.data["project"]
		if !strings.HasSuffix(name, fmt.Sprint("-", before[project])) {
			t.Errorf("event %d of %v: got %v", before[project], project, m.data)
		}
		before[project]++
		switch {
		case k < all/2:
			half = m.id
		case after[name]:
			t.Errorf("%s came twice", name)
		default:
			after[name] = true
		}
	}
	rest := s.watch(t, cookie, "", half)
	for range len(after) {
		name := ownNames.FindString(fmt.Sprint(next(t, rest).data))
		if !after[name] {
			t.Errorf("resumed: got %s, which came before or twice", name)
		}
		delete(after, name)
	}
	s.kill(t)

	// A project away, another renamed, and the order reversed.
	text := apart()
	head, list, _ := strings.Cut(text, "projects:\n")
	lines := strings.SplitAfter(list, "\n")
	first, second, third := strings.Join(lines[:2], ""), strings.Join(lines[2:4], ""), strings.Join(lines[4:6], "")
	others := strings.Join(lines[6:], "")
	s = startIn(t, dir, head+"projects:\n"+third+strings.Replace(second, "name: p1,", "name: other,", 1)+others)
	wantOwn(t, "the export", 1, s.run(t, 0, "export", "--events", "--project", "other"))
	wantOwn(t, "the export", 2, s.run(t, 0, "export", "--events", "--project", "p2"))
	s.configure(t, head+"projects:\n"+third+second+first+others)
	s.reload(t, http.StatusOK, "")
	for i := range partitions {
		checkApart(t, s, dir, i, i > 0) // the catalogue forgets a project that is away
	}
	for i := range partitions {
		checkApartFolder(t, dir, i)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("status %d", status)
	}
	// The file system of a partition is not mounted.
	if err := os.Rename(filepath.Join(dir, "data", "p01"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	refused := launch(t, dir, "--config", s.config, "--data", filepath.Join(dir, "data"))
	if status := refused.await(t, patience); status != 1 || !strings.Contains(refused.log.all(), "is missing or empty") {
		t.Errorf("without a store: status %d, and\n%s", status, refused.log)
	}
}

// checkApart reads a project by all ways.
func checkApart(t *testing.T, s *server, dir string, project int, listed bool) {
	t.Helper()
	n := apartEvents(project)
	name := fmt.Sprint("p", project)
	for _, path := range []string{
		"/api/projects/{token}/events?rows=100", "/api/projects/{token}/events?rows=100&type=round&order=newest", "/api/projects/{token}/customers/1/events?rows=100",
	} {
		status, page, err := s.ask(t.Context(), project, path, nil)
		if text, _ := json.Marshal(page); err != nil || status != http.StatusOK {
			t.Errorf("%s: got %d %s, %v", path, status, text, err)
		} else {
			wantOwn(t, path, project, string(text))
		}
	}
	wantOwn(t, "the export", project, s.run(t, 0, "export", "--events", "--project", name))
	wantOwn(t, "the export of the API", project, s.exportApart(t, project))
	stream := s.watch(t, s.signIn(t, pagesPassword), "project="+partitionToken(project), "")
	var live strings.Builder
	for range n {
		fmt.Fprintln(&live, next(t, stream).data)
	}
	wantOwn(t, "the live page", project, live.String())

	for deadline := time.Now().Add(patience); listed; _ = sleep.For(t.Context(), lookAgain) {
		var v catalogue.View
		out := s.run(t, 0, "catalogue", "--json", "--project", name)
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if len(v.Types) == 1 && v.Events == uint64(n) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the catalogue of project %d has\n%s\nwant %d events", project, out, n)
		}
	}
	broken := fmt.Sprintf(`"checked":%d,"broken":%d,`, n, n-1-project)
	if out := strings.NewReplacer(" ", "", "\n", "").Replace(s.command(t, 0, "contracts", "simulate", "--quiet", "--json", "--project", name, "--data", dir+"/data")); !strings.Contains(out, broken) {
		t.Errorf("project %d: contracts simulate: got %s, want %s", project, out, broken)
	}
	tried := fmt.Sprintf(`"events":%d,`, n)
	if out := strings.NewReplacer(" ", "", "\n", "").Replace(s.command(t, 0, "bots", "simulate", "--repeats", "2", "--json", "--project", name, "--data", dir+"/data")); !strings.Contains(out, tried) {
		t.Errorf("project %d: bots simulate: got %s, want %s", project, out, tried)
	}
}

// exportApart returns the events of a customer by the API.
func (s *server) exportApart(t *testing.T, project int) string {
	t.Helper()
	status, answer, err := s.ask(t.Context(), project, "/data/v2/projects/{token}/customers/events", obj{"customer_ids": obj{"registered": "somebody"}, "event_types": []string{"round"}})
	text, _ := json.Marshal(answer)
	if err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s, %v", status, text, err)
	}
	return string(text)
}

// checkApartFolder checks that the folder of a partition has the events of its
// project only.
func checkApartFolder(t *testing.T, dir string, part int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
		var all strings.Builder
		err := filepath.WalkDir(filepath.Join(dir, "copy", fmt.Sprintf("p%02d", part), "events"), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		got := map[string]bool{}
		for _, name := range ownNames.FindAllString(all.String(), -1) {
			got[name] = true
		}
		if err == nil && len(got) >= apartEvents(part) || time.Now().After(deadline) {
			wantOwn(t, "the folder", part, all.String())
			return
		}
	}
}
