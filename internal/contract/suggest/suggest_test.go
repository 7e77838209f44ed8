package suggest

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"trackway"
	"trackway/internal/catalogue"
	"trackway/internal/change"
	"trackway/internal/contract/trial"
	"trackway/internal/query"
)

// fakeStore has events, and no other data.
type fakeStore []trackway.Event

func (fakeStore) Version(uint32) change.Version { return change.Version{} }
func (f fakeStore) Snapshot() query.Snapshot    { return snapshot{events: f} }

type snapshot struct {
	query.Snapshot

	events fakeStore
}

func (s snapshot) Log(_ query.LogRange, yield func(*trackway.Event) bool) error {
	for i := range s.events {
		if !yield(&s.events[i]) {
			break
		}
	}
	return nil
}

func (snapshot) Close() error { return nil }

func property(name string, events uint64, examples []json.RawMessage, values ...catalogue.Values) catalogue.Property {
	return catalogue.Property{Name: name, Events: events, Share: float64(events) / 1000, Values: values, Examples: examples}
}

func texts(values ...string) (all []json.RawMessage) {
	for _, v := range values {
		all = append(all, json.RawMessage(strconv.Quote(v)))
	}
	return all
}

// TestMake: a proposal has what nearly all events have in common, and what the
// stored events break is left out.
func TestMake(t *testing.T) {
	t.Parallel()
	of := func(typ string, share float64) catalogue.Values { return catalogue.Values{Type: typ, Share: share} }
	purchase := catalogue.Type{Type: "purchase", Events: 1000, Properties: []catalogue.Property{
		property("price", 1000, nil, of("number", 0.997), of("string", 0.003)),
		property("currency", 998, texts("USD", "EUR"), of("string", 1)),
		property("size", 1000, texts("s", "m"), of("string", 1)),
		property("coupon", 300, texts("X"), of("string", 0.5), of("null", 0.5)),
		property("renamed", 999, nil, of("string", 1)),
		property(trackway.Quarantined, 10, nil, of("string", 1)),
	}}
	var store fakeStore
	for i := range 400 {
		size := "s"
		if i == 5 {
			size = "xl" // which the catalogue does not show
		}
		p := `{"coupon":null,"currency":"EUR","price":1,"size":"` + size + `"}`
		store = append(store, trackway.Event{Project: 1, Type: "purchase", Properties: []byte(p)})
	}
	types := []catalogue.Type{
		purchase, {Type: "rare", Events: 99, Properties: purchase.Properties}, {Type: "bare", Events: 100}, {Type: trackway.MergeType, Events: 1000, Properties: purchase.Properties},
	}
	got, err := Make(t.Context(), store, 1, types, trial.Question{Events: 1000, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"coupon":{"type":["string","null"]},"currency":{"enum":["EUR","USD"]},` +
		`"price":{"type":"number"},"renamed":{"type":"string"},"size":{"type":"string"}},"required":["currency","price","size"],"type":"object"}`
	if string(got[0].Schema) != want || got[0].Checked != 400 || got[0].Broken != 0 {
		t.Errorf("got %s, %d of %d broken; want %s", got[0].Schema, got[0].Broken, got[0].Checked, want)
	}
	for _, p := range got[1:] {
		if p.Schema != nil || p.Why == "" {
			t.Errorf("%s: got %s, because %s", p.Type, p.Schema, p.Why)
		}
	}
}
