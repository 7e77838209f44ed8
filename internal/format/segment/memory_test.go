package segment

import (
	"runtime"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/format/cost"
)

// TestMemory: decoding allocates at most what was reserved for it, whatever is
// sent.
func TestMemory(t *testing.T) { // not parallel: it measures the process
	for name, body := range map[string]string{
		"usual":        `{"batch":[` + strings.Repeat(usual+",", 99) + usual + `]}`,
		"empty":        `{"batch":[` + strings.Repeat(`{},`, MaxMessages-1) + `{}]}`,
		"small":        `{"batch":[` + strings.Repeat(`{"type":"track","event":"e","messageId":"m"},`, MaxMessages-1) + `{}]}`,
		"numbers":      `{"batch":[` + strings.Repeat(`0,`, MaxMessages-1) + `0]}`,
		"bad types":    `{"batch":[` + strings.Repeat(`{"type":"x"},`, MaxMessages-1) + `{}]}`,
		"shared":       `{"batch":[` + strings.Repeat(`{"type":"page","context":{"b":1}},`, 999) + `{}],"context":{"a": 0, "c":1}}`,
		"again":        `{"batch":[{}]` + strings.Repeat(`,"batch":[{"type":"track","event":"e"},{}]`, 1000) + `}`,
		"properties":   `{"batch":[{"type":"track","event":"e","properties":{"a":0` + strings.Repeat(`,"b":[ ]`, 4000) + `}}]}`,
		"many objects": `{"batch":[{"type":"track","event":"e","context":{"a":[0` + strings.Repeat(`,{"b":0,"a":1}`, 4000) + `]}}]}`,
	} {
		sent := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = Batch.Decode(shop, sent, received) // whatever it comes to
		runtime.ReadMemStats(&after)
		got := int(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: %d bytes took %d", name, len(sent), got)
		if most := len(sent) + cost.Of(sent, MaxMessages) + 4<<10; got > most {
			t.Errorf("%s: decoding %d bytes took %d, at most %d", name, len(sent), got, most)
		}
	}
}

const usual = `{"type":"track","userId":"jane@example.com","anonymousId":"a-1","event":"Order Completed",` +
	`"properties":{"currency":"EUR","order":"o-1","total":7.99},"context":{"library":{"name":"analytics-node","version":"3.1.0"}},` +
	`"timestamp":"2026-11-29T07:01:57.566Z","messageId":"node-next-1795935717567-80ed41b2-3875-4110-9ee3-e161eb43b1d6"}`

// FuzzDecode: no body panics, and an accepted one keeps the promises of
// commands.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"batch":[` + usual + `],"context":{"a":1},"sentAt":"2026-11-29T08:01:58Z"}`))
	f.Add([]byte(usual))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, one := range []decodeFunc{Batch.Decode, Import.Decode, Single(Identify).Decode, Single(Page).Decode} {
			b, err := one(shop, body, received)
			if (b == nil) == (err == nil) {
				t.Fatal(b, err)
			}
			if err != nil {
				continue
			}
			for i := range b.Commands {
				c := &b.Commands[i]
				if b.Results[i].Err != nil {
					continue
				}
				for j := range c.Properties {
					if j > 0 && c.Properties[j-1].Name >= c.Properties[j].Name {
						t.Errorf("%s: properties are out of order", seen(c, nil))
					}
				}
				if c.TimeVaries && indexOf(c.Properties, trackway.MessageID) < 0 {
					t.Errorf("%s: the store could not recognize it", seen(c, nil))
				}
			}
		}
		WriteKey(body)
	})
}
