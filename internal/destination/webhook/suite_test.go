package webhook

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/sleep"
)

// warehouse is a receiver that keeps tables of everything, as the docs advise.
// It keeps an event by its number, and the state with the highest number for a
// customer.
type warehouse struct {
	mu        sync.Mutex
	fault     destinationtest.Fault
	events    map[uint64]destination.Event
	customers map[trackway.Customer]destination.Customer
}

func (h *warehouse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	h.mu.Lock()
	fault := h.fault
	h.mu.Unlock()
	switch fault {
	case destinationtest.Refused:
		panic(http.ErrAbortHandler)
	case destinationtest.Slow:
		_ = sleep.For(r.Context(), 50*time.Millisecond)
	case destinationtest.Unanswered:
	}
	if err := h.take(body); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	}
	if fault == destinationtest.Unanswered {
		panic(http.ErrAbortHandler)
	}
}

func (h *warehouse) take(body []byte) error {
	var m struct {
		Type string
		Data struct {
			Seq, Changed, Customer, Survivor uint64
			Project, Type                    string
			IDs                              map[string]any `json:"customer_ids"`
			At                               time.Time
			Received                         time.Time `json:"received_at"`
			Created                          time.Time `json:"created_at"`
			Properties                       json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &m.Data
	switch m.Type {
	case eventStored, eventRewritten:
		h.events[d.Seq] = destination.Event{
			Seq: d.Seq, Project: d.Project, Customer: trackway.Customer(d.Customer), Type: d.Type,
			At: trackway.MicrosOf(d.At), Received: trackway.MicrosOf(d.Received), Properties: d.Properties,
		}
	case customerChanged, customerMerged, customerErased:
		c := destination.Customer{
			Customer: trackway.Customer(d.Customer), Project: d.Project, Survivor: trackway.Customer(d.Survivor), Properties: d.Properties,
			Created: trackway.MicrosOf(d.Created), Changed: d.Changed, Erased: m.Type == customerErased,
		}
		for name, values := range d.IDs {
			if one, ok := values.(string); ok {
				values = []any{one}
			}
			for _, v := range values.([]any) { // nothing else is sent
				c.IDs = append(c.IDs, trackway.Identifier{Name: name, Value: v.(string)}) // the same
			}
		}
		if c.Changed >= h.customers[c.Customer].Changed {
			h.customers[c.Customer] = c
		}
	}
	return nil
}

func (h *warehouse) tables() *destinationtest.Tables {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &destinationtest.Tables{Map: map[trackway.Customer]trackway.Customer{}}
	for _, e := range h.events {
		t.Events = append(t.Events, e)
	}
	slices.SortFunc(t.Events, func(a, b destination.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, c := range h.customers {
		for _, id := range c.IDs {
			t.IDs = append(t.IDs, destinationtest.ID{Customer: c.Customer, Name: id.Name, Value: id.Value})
		}
		if c.Survivor != 0 {
			t.Map[c.Customer] = c.Survivor
		}
		c.IDs = nil
		t.Customers = append(t.Customers, c)
	}
	return t
}

func TestSuite(t *testing.T) {
	t.Parallel()
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		t.Helper()
		h := &warehouse{events: map[uint64]destination.Event{}, customers: map[trackway.Customer]destination.Customer{}}
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		d := config.Destination{Name: "hook", Kind: config.Webhook, URL: server.URL, Secret: secret, Allow: []string{"127.0.0.1"}}
		return &destinationtest.Partner{
			Config: d,
			Open: func() destination.Sink {
				s, err := New(d)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Tables: func(*testing.T) *destinationtest.Tables { return h.tables() },
			Break: func(_ *testing.T, f destinationtest.Fault) func() {
				set := func(f destinationtest.Fault) {
					h.mu.Lock()
					defer h.mu.Unlock()
					h.fault = f
				}
				set(f)
				return func() { set("") }
			},
			Lacks: destinationtest.Lacks{Position: true, Erasures: true},
		}
	})
}
