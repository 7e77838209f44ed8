package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestErasure: once the server reports an erasure as done, no file in the data
// directory contains the erased data, even if the server was killed before.
// Backups are not affected.
func TestErasure(t *testing.T) {
	t.Parallel()
	const jane, device, email, kept = "jane-5d1c9a07", "device-e2f0b6a1", "jane-90ab3f77@example.com", "bob-1f6e88d2"
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig+wideLimits)
	s.log.private(jane, device, email, kept)
	visit := func(ids map[string]any, properties map[string]any) {
		s.track(t, "customers/events", map[string]any{"customer_ids": ids, "event_type": "visit", "properties": properties})
		s.track(t, "customers", map[string]any{"customer_ids": ids, "properties": properties})
	}
	visit(map[string]any{"cookie": device}, map[string]any{"email": email, "page": "start"})
	visit(map[string]any{"registered": jane}, map[string]any{"email": email})
	visit(map[string]any{"registered": jane, "cookie": device}, map[string]any{"email": email}) // a merge
	visit(map[string]any{"registered": kept}, map[string]any{"page": "start"})
	if found := holding(t, dir, jane, device, email); len(found) == 0 {
		t.Error("there is nothing to look for")
	}

	res := s.do(t, request{
		path: "/data/v2/projects/{token}/customers/anonymize",
		body: encode(t, map[string]any{"customer_ids": map[string]any{"registered": jane}}),
	})
	var answer struct {
		Success bool
		Erasure struct{ ID, State string }
	}
	if err := json.Unmarshal(res.body, &answer); err != nil || !answer.Success || answer.Erasure.State != "scheduled" {
		t.Fatalf("got %v", res)
	}
	if c := s.exportOne(t, map[string]any{"registered": jane}); c != nil {
		t.Errorf("who was erased is known as %v", c)
	}
	s.kill(t)

	s = startIn(t, dir, baseConfig+wideLimits)
	s.log.private(jane, device, email, kept)
	s.awaitLog(t, "a line that says it is done", func(text string) bool { return strings.Contains(text, `"erased for good"`) })
	res = s.do(t, request{path: "/api/projects/{token}/erasures"})
	var list struct {
		Erasures []struct {
			ID, State string
			Done      time.Time
		}
	}
	if err := json.Unmarshal(res.body, &list); err != nil || len(list.Erasures) != 1 {
		t.Fatalf("got %v, want one erasure", res)
	}
	if e := list.Erasures[0]; e.ID != answer.Erasure.ID || e.State != "done" || e.Done.IsZero() {
		t.Errorf("got %v, want it to be done", res)
	}
	if found := holding(t, dir, jane, device, email); len(found) > 0 {
		t.Errorf("done, and these files hold something of it: %v", found)
	}
	if res := s.do(t, request{path: "/api/projects/{token}/erasures", auth: "public"}); res.status != http.StatusForbidden {
		t.Errorf("with a public key: got %v", res)
	}
	if c := s.exportOne(t, map[string]any{"registered": kept}); c == nil || len(c.Events) != 1 {
		t.Errorf("another customer is %v", c)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// holding lists the files under dir that contain one of the texts.
func holding(t *testing.T, dir string, texts ...string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				found = append(found, d.Name()+": "+text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestRetention: expired events are gone after a start. The customer and newer
// events stay.
func TestRetention(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := strings.Replace(baseConfig, "    personal:", "    retention: {default: 24h, events: {purchase: forever, visit: 1h}}\n    personal:", 1)
	s := startIn(t, dir, baseConfig+wideLimits) // keeps everything
	now := time.Now()
	for _, e := range []struct {
		typ string
		age time.Duration
	}{{"visit", 2 * time.Hour}, {"visit", 0}, {"click", 2 * time.Hour}, {"click", 48 * time.Hour}, {"purchase", 10000 * time.Hour}} {
		s.track(t, "customers/events", map[string]any{
			"customer_ids": map[string]any{"registered": "r"}, "event_type": e.typ, "timestamp": now.Add(-e.age).Unix(),
		})
	}
	if c := s.exportOne(t, map[string]any{"registered": "r"}); len(c.Events) != 5 {
		t.Fatalf("got %v, want all five", c.Events)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	s = startIn(t, dir, config+wideLimits)
	s.awaitLog(t, "a line that says that old events are gone", func(text string) bool {
		return strings.Contains(text, `"events that were too old are removed"`)
	})
	var got []string
	for _, e := range s.exportOne(t, map[string]any{"registered": "r"}).Events {
		got = append(got, e.Type+" "+now.Sub(time.Unix(int64(e.Timestamp), 0)).Round(time.Hour).String())
	}
	if want := "purchase 10000h0m0s, click 2h0m0s, visit 0s"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}
