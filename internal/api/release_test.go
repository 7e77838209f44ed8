package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/ingest"
	"trackway/internal/live"
)

// TestBatchesDoNotMix: a batch gives its memory to later ones when it is
// answered. The store, the answers and the watchers have only what was sent. If
// anything used the memory later, it would find it empty, or with the commands
// of another batch, and the race detector would see it.
func TestBatchesDoNotMix(t *testing.T) {
	t.Parallel()
	const senders, batches, most = 8, 12, trackway.MaxCommands
	r := newReading(t)
	r.Server.ingest = ingest.New(r.store, nil, prometheus.NewRegistry())
	watcher, err := r.observer.live.Watch(live.Filter{Rejected: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	size := func(batch int) int { return 1 + batch*7%most }
	refused := func(command int) bool { return command%5 == 4 }
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for batch := range batches {
				body := []byte(`{"commands":[`)
				want := make([]string, size(batch))
				for command := range want {
					id, time := fmt.Sprintf("%d-%d-%d", sender, batch, command), "1"
					want[command] = `"command_id":"` + id + `"`
					if refused(command) {
						time = `"soon"`
					}
					body = fmt.Appendf(body, `{"name":"customers/events","command_id":%q,"data":{"customer_ids":{"cookie":%q},"event_type":"by%d","timestamp":%s,"properties":{"of":%q,"in":%d}}},`,
						id, id, sender, time, id, batch)
				}
				body = append(body[:len(body)-1], "]}"...)
				call := httptest.NewRequest(http.MethodPost, trackBase+"batch", strings.NewReader(string(body)))
				call.Header.Set("Authorization", "Token "+publicToken)
				w := httptest.NewRecorder()
				r.Server.ServeHTTP(w, call)
				answer := w.Body.String()
				if got := strings.Count(answer, `"command_id"`); w.Code != http.StatusOK || got != len(want) {
					t.Errorf("batch %d-%d of %d commands: got %d, %s", sender, batch, len(want), w.Code, answer)
				}
				for _, id := range want {
					if !strings.Contains(answer, id) {
						t.Errorf("batch %d-%d: %s is missing in %s", sender, batch, id, answer)
					}
				}
			}
		})
	}
	wg.Wait()
	snapshot := r.store.Snapshot()
	defer func() { _ = snapshot.Close() }()
	for sender := range senders {
		for batch := range batches {
			for command := range size(batch) {
				id := fmt.Sprintf("%d-%d-%d", sender, batch, command)
				want := fmt.Sprintf(`[by%d {"in":%d,"of":%q}]`, sender, batch, id)
				if refused(command) {
					want = "[]"
				}
				customer, err := snapshot.Find(1, trackway.Identifier{Name: "cookie", Value: id})
				if err != nil {
					t.Fatal(err)
				}
				got := []string{}
				if customer != 0 {
					err = snapshot.Events(1, customer, false, func(e *trackway.Event) bool {
						got = append(got, e.Type+" "+string(e.Properties))
						return true
					})
				}
				if err != nil || fmt.Sprint(got) != want {
					t.Errorf("event %s: got %v, %v, want %s", id, got, err, want)
				}
			}
		}
	}
	items, _, err := watcher.Take(senders * batches * most)
	if err != nil || len(items) == 0 {
		t.Fatal(items, err)
	}
	for _, it := range items {
		if b := it.Rejection; len(b.IDs) != 1 || !strings.HasPrefix("by"+b.IDs[0].Value, b.Type+"-") || !strings.Contains(b.Reason, "timestamp") {
			t.Errorf("watchers were shown %+v", b)
		}
	}
}
