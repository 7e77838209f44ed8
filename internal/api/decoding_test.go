package api

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/api/body"
	"trackway/internal/format/segment"
	"trackway/internal/format/tracking"
	"trackway/internal/scale"
)

// TestDecodingTakes: decoding allocates at most what was reserved for it in the
// memory of bodies, whatever is sent. The test is not parallel, because it
// counts all allocations of the process.
func TestDecodingTakes(t *testing.T) {
	fill := func(unit string, n int) string { return strings.Repeat(unit, n/len(unit)) }
	event := func(properties string) string {
		return `{"customer_ids":{"cookie":"c"},"event_type":"e","properties":` + properties + `}`
	}
	batch := func(e string) string {
		const n = trackway.MaxCommands
		one := `{"name":"customers/events","data":` + e + `}`
		return `{"commands":[` + strings.Repeat(one+",", n-1) + one + `]}`
	}
	distinct := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"zzzzz":0`)
		for i := range n - 1 {
			b.WriteString(`,"` + strconv.FormatInt(int64(i*7919%n), 36) + `":[ ]`)
		}
		return b.String() + "}"
	}
	const large, small = 790_000, 20_000
	nested := strings.Repeat(`{"b":0,"a":`, 95) + `"` + fill("x", large) + `"` + strings.Repeat("}", 95)
	wide := `[0` + strings.Repeat(`,{"b":0`+fill(`,"":0`, small)+`}`, large/small-1) + `]`
	for name, text := range map[string]string{
		"usual":                      event(`{"p":"` + fill("a", 400) + `"}`),
		"nothing":                    `{}`,
		"A1":                         batch(event(`{"p":{"b":0` + fill(`,"":0`, 40<<20/trackway.MaxCommands) + `}}`)),
		"A1, one event":              event(`{"p":{"b":0` + fill(`,"":0`, large) + `}}`),
		"A1, small":                  event(`{"p":{"b":0` + fill(`,"":0`, small) + `}}`),
		"members":                    event(`{"b":0` + fill(`,"":0`, small) + `}`),
		"members, too many":          event(`{"b":0` + fill(`,"":0`, large) + `}`),
		"members, fifty times":       batch(event(`{"b":0` + fill(`,"":0`, small) + `}`)),
		"different members":          event(distinct(4000)),
		"different, fifty times":     batch(event(distinct(4000))),
		"different, in a value":      batch(event(`{"p":` + distinct(4000) + `}`)),
		"all at its largest":         batch(`{"customer_ids":{"cookie":["` + fill("\n", 100) + `"` + fill(`,"a"`, 4000) + `]},"event_type":"e","properties":{"zzz":` + wide + `,` + distinct(4000)[1:] + `}`),
		"small objects":              event(`{"p":[{"b":0,"":0}` + fill(`,{"b":0,"":0}`, large) + `]}`),
		"wide objects":               event(`{"p":` + wide + `}`),
		"wide objects, fifty times":  batch(event(`{"p":` + wide + `}`)),
		"A2: nested":                 event(`{"p":` + nested + `}`),
		"nested, fifty times":        batch(event(`{"p":` + nested + `}`)),
		"values to rewrite":          event(`{"p":0` + fill(`,"a": [ ]`, 30_000) + `}`),
		"escapes":                    event(`{"p":"` + fill(`\u0041`, large) + `"}`),
		"escapes, fifty times":       batch(event(`{"p":"` + fill(`\u0041`, large) + `"}`)),
		"identifiers":                `{"customer_ids":{"cookie":["a"` + fill(`,"a"`, 4000) + `]}}`,
		"identifiers, fifty times":   batch(`{"customer_ids":{"cookie":["a"` + fill(`,"a"`, 4000) + `]}}`),
		"identifiers, too many":      `{"customer_ids":{"cookie":["a"` + fill(`,"a"`, large) + `]}}`,
		"data, again and again":      `{"commands":[{"name":"customers"` + fill(`,"data":{"properties":{"b":0,"":0}}`, large) + `}]}`,
		"properties, again":          `{"customer_ids":{}` + fill(`,"properties":{"b":0,"":[ 0 ]}`, large) + `}`,
		"identifiers, again":         `{"x":{}` + fill(`,"customer_ids":{"b":"","":0}`, large) + `}`,
		"commands, again":            `{"x":{}` + fill(`,"commands":[{"data":{"properties":{"b":0,"":0}}},{}]`, large) + `}`,
		"errors, again":              `{"commands":[{"name":"customers"` + fill(`,"data":{"properties":0}`, large) + `}]}`,
		"errors of identifiers":      `{"commands":[{"name":"customers"` + fill(`,"data":{"customer_ids":{"":{}}}`, large) + `}]}`,
		"small errors":               `{"commands":[{"name":"customers"` + fill(`,"data":{"properties":0}`, 1000) + `}]}`,
		"brackets":                   event(`{"p":` + fill("[", large) + fill("]", large) + `}`),
		"brackets at the front":      fill("[", large),
		"commands that are no value": `{"commands":[` + fill(`{},`, large) + `{}]}`,
	} {
		if len(text) > scale.Of(1<<30, 2<<20) {
			continue
		}
		sent := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if strings.Contains(text, `"commands"`) {
			_, _ = tracking.DecodeBatch(sent, 1) // whatever it comes to
		} else {
			_, _ = tracking.DecodeCommand(tracking.Events, sent, 1)
		}
		runtime.ReadMemStats(&after)
		const own = 4 << 10 // of this test, and of the runtime
		if got, want := int(after.TotalAlloc-before.TotalAlloc), body.DecodingTakes(sent, trackway.MaxCommands)+own; got > want {
			t.Errorf("%s: decoding %d bytes took %d, want at most %d", name, len(sent), got, want)
		}
	}
}

// TestDecodingTakesOfManyCommands: the same holds for a batch of another
// format, which has more and smaller commands.
func TestDecodingTakesOfManyCommands(t *testing.T) { // not parallel: it counts all allocations of the process
	var one strings.Builder
	one.WriteString(`{"type":"track","event":"e","messageId":"m","properties":{"a":0`)
	for i := range 1500 / len(`,"aaa":0`) {
		one.WriteString(`,"` + strconv.FormatInt(int64(36*36+i), 36) + `":0`)
	}
	one.WriteString("}}")
	sent := []byte(`{"batch":[` + strings.Repeat(one.String()+",", segment.MaxMessages-1) + one.String() + `]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := segment.Batch.Decode(&trackway.Project{User: "registered", Device: "cookie"}, sent, 1)
	runtime.ReadMemStats(&after)
	if err != nil || len(b.Commands) != segment.MaxMessages {
		t.Fatal(err)
	}
	if got, want := int(after.TotalAlloc-before.TotalAlloc), body.DecodingTakes(sent, segment.MaxMessages); got > want {
		t.Errorf("decoding %d bytes took %d, want at most %d", len(sent), got, want)
	}
}
