package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"trackway/internal/sleep"
)

// read makes strong reads at a server, of one writer's customer after another.
func (l *ledger) read(ctx context.Context, s *server, from int) {
	const pace = 300 * time.Millisecond
	for n := from; sleep.For(ctx, pace) == nil; n++ {
		l.gate.RLock()
		l.look(ctx, l.writers[n%len(l.writers)], s, "with strong consistency", "?consistency=strong", "")
		l.gate.RUnlock()
	}
}

// look reads the newest event of a writer's customer. It must be at least as
// new as the one that was acknowledged last when the read began. A server may
// refuse to answer. The caller holds the gate, so the customer stays the same.
func (l *ledger) look(ctx context.Context, w *writer, s *server, how, query, position string) {
	newest := w.newest.Load()
	status, body, _, err := s.callAt(ctx, http.MethodPost, "/data/v2/projects/"+project+"/customers/events"+query, readKey, position,
		fmt.Appendf(nil, `{"customer_ids":{"registered":%q},"event_types":["chaos"],"order":"desc","limit":1}`, w.customer()))
	if err != nil || status == http.StatusServiceUnavailable || query == "" && position == "" && s.filled.Load() {
		return
	}
	var answer struct {
		Data []struct{ Properties struct{ Name string } }
	}
	seen := int64(-1)
	switch wrong := json.Unmarshal(body, &answer); {
	case status == http.StatusNotFound:
	case status != http.StatusOK || wrong != nil:
		l.t.Errorf("server %d: a read %s: got %d %s", s.n, how, status, body)
		return
	case len(answer.Data) > 0:
		var by int
		if _, err := fmt.Sscanf(answer.Data[0].Properties.Name, "%d-%d", &by, &seen); err != nil || by != w.n {
			l.t.Errorf("server %d: a read %s shows %q", s.n, how, answer.Data[0].Properties.Name)
		}
	}
	if seen < newest && query == "" && position == "" {
		// Without a leader, reads go on with what the server has.
		if known, err := s.status(ctx); err != nil || known.Leader == "" {
			return
		}
	}
	if seen < newest {
		l.t.Errorf("server %d: a read %s shows event %d of %s, although %d was acknowledged before", s.n, how, seen, w.customer(), newest)
	}
	l.mu.Lock()
	l.reads[how]++
	l.mu.Unlock()
}
