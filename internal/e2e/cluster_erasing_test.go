package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// TestClusterPartitionsErased: erasures and retention in projects of all
// partitions, each of which is led by another server. Once a server reports
// erasures as done, no file of it holds what was erased. Each partition's
// leader removes expired events, everywhere.
func TestClusterPartitionsErased(t *testing.T) {
	t.Parallel()
	const jane, device, email, kept, old = "jane-5d1c9a07", "device-e2f0b6a1", "jane-90ab3f77@example.com", "bob-1f6e88d2", "old-7b2e90c4"
	c := prepareCluster(t, 3)
	withPartitions(c, partitionSize)
	c.begin()
	c.apart()
	post := func(i, project int, path string, body obj) {
		t.Helper()
		status, answer, err := c.servers[i%3].askAgain(t, project, path, body)
		if err != nil || status != http.StatusOK || answer["success"] != true {
			t.Fatal(status, answer, err)
		}
	}
	now := time.Now()
	for project := range partitionSize {
		visit := func(i int, at time.Time, ids, properties obj) {
			post(i, project, "/track/v2/projects/{token}/customers/events", obj{"customer_ids": ids, "event_type": "visit", "timestamp": at.Unix(), "properties": properties})
		}
		visit(project, now, obj{"cookie": device}, obj{"email": email})
		visit(project+1, now, obj{"registered": jane}, obj{"email": email})
		visit(project+2, now, obj{"registered": jane, "cookie": device}, obj{"email": email}) // a merge
		visit(project, now, obj{"registered": kept}, obj{"page": "start"})
		visit(project+1, now.Add(-48*time.Hour), obj{"registered": kept}, obj{"page": old})
	}
	c.settlePartitions()
	for i, dir := range c.dirs {
		if len(holding(t, filepath.Join(dir, "data"), jane, device, email)) == 0 {
			t.Errorf("server %d: there is nothing to look for", i)
		}
	}
	for project := range partitionSize {
		post(project, project, "/data/v2/projects/{token}/customers/anonymize", obj{"customer_ids": obj{"registered": jane}})
	}
	for i, s := range c.servers {
		for project := range partitionSize {
			awaitErased(t, s, project)
		}
		if found := holding(t, filepath.Join(c.dirs[i], "data"), jane, device, email); len(found) > 0 {
			t.Errorf("server %d: done, and these files hold something of it: %v", i, found)
		}
	}
	ages := func(s *server, project int) (all []string) {
		status, answer, err := s.ask(t.Context(), project, "/data/v2/projects/{token}/customers/events", obj{"customer_ids": obj{"registered": kept}, "event_types": []string{"visit"}})
		rows, _ := answer["data"].([]any)
		if err != nil || status != http.StatusOK || len(rows) == 0 {
			t.Fatal(status, answer, err)
		}
		for _, row := range rows {
			text, _ := json.Marshal(row)
			all = append(all, strconv.FormatBool(strings.Contains(string(text), old)))
		}
		return all
	}
	if got := ages(c.servers[0], 0); !slices.Contains(got, "true") {
		t.Fatalf("nothing is old: %v", got)
	}

	whole := c.whole
	c.whole = func() string {
		return strings.ReplaceAll(whole(), "personal: [email],", "personal: [email], retention: {default: 24h},")
	}
	for _, s := range c.servers {
		if code := s.stop(t); code != 0 {
			t.Errorf("exit status %d\n%s", code, s.log)
		}
	}
	for i := range c.servers {
		c.start(i)
	}
	for _, s := range c.servers {
		s.awaitReady(t)
	}
	for i, s := range c.servers {
		for project := range partitionSize {
			for end := time.Now().Add(patience); slices.Contains(ages(s, project), "true"); _ = sleep.For(t.Context(), lookAgain) {
				if time.Now().After(end) {
					t.Fatalf("server %d, project %d: expired events are there\n%s", i, project, s.log)
				}
			}
			if got := ages(s, project); len(got) != 1 {
				t.Errorf("server %d, project %d: %d events are left, want one", i, project, len(got))
			}
		}
	}
}

// awaitErased waits until a server says that all erasures of a project are
// done: at least one.
func awaitErased(t *testing.T, s *server, project int) {
	t.Helper()
	for end := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
		status, answer, err := s.ask(t.Context(), project, "/api/projects/{token}/erasures", nil)
		text, _ := json.Marshal(answer["erasures"])
		if err != nil || status != http.StatusOK {
			t.Fatal(status, answer, err)
		}
		if strings.Contains(string(text), `"done"`) && !strings.Contains(string(text), `"scheduled"`) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("project %d: the erasures are %s\n%s", project, text, s.log)
		}
	}
}
