package posthog

import (
	"encoding/base64"
	"runtime"
	"strings"
	"testing"
)

// TestMemory checks that decoding a body allocates no more than was reserved
// for it, whatever the body contains.
func TestMemory(t *testing.T) { // not parallel: it measures the process
	batch := func(part string, n int) string {
		return `{"batch":[` + part + strings.Repeat(","+part, n-1) + `]}`
	}
	object := func(member string, n int) string { return "{" + member + strings.Repeat(","+member, n-1) + "}" }
	event := func(more string) string { return `{"event":"e","distinct_id":"u"` + more + `}` }
	bodies := map[string]string{
		"empty messages":     batch(`{}`, MaxMessages),
		"too many":           batch(`{}`, 5*MaxMessages),
		"small messages":     batch(event(""), MaxMessages),
		"with ids":           batch(event(`,"uuid":"\u0061"`), MaxMessages),
		"no messages":        batch(`0`, MaxMessages),
		"all updates":        batch(event(`,"$set":{"a":1},"$set_once":{"a":1},"properties":{"$set":{"b":1},"$set_once":{"b":1},"$unset":["c"]}`), MaxMessages),
		"many properties":    event(`,"properties":` + object(`"":0`, 4096)),
		"unsorted":           event(`,"properties":{"b":0,` + object(`"":0`, 4000)[1:]),
		"many to set":        event(`,"properties":{"$set":` + object(`"a":0`, 1) + `,"$set_once":{"c":1,` + object(`"":0`, 4000)[1:] + `}`),
		"both sets":          event(`,"$set":{"a":1},"properties":{"$set":{"c":1,` + object(`"":0`, 4000)[1:] + `}`),
		"many to unset":      event(`,"properties":{"$unset":["a"` + strings.Repeat(`,"\n"`, 254) + `]}`),
		"too many to unset":  event(`,"properties":{"$unset":["a"` + strings.Repeat(`,"a"`, 50_000) + `]}`),
		"commas in a string": event(`,"properties":{"$set":{"a":"` + strings.Repeat(",", 50_000) + `"}}`),
		"repeated fields":    `{` + strings.Repeat(`"$set":0,"properties":0,`, 5000) + `"a":0}`,
		"repeated batches":   `{` + strings.Repeat(`"batch":[{}],`, 5000) + `"a":0}`,
		"a usual batch": batch(event(`,"uuid":"0190a000-0000-7000-8000-000000000001","timestamp":"2026-11-01T12:00:00Z","properties":`+
			`{"total":7.99,"$lib":"posthog-node","$lib_version":"5.70.0","$is_server":true,"tags":["a","b"],"url":"https://example.com/"}`), 100),
	}
	for name, body := range bodies {
		for form, b := range map[string][]byte{"JSON": []byte(body), "form": []byte("data=" + base64.StdEncoding.EncodeToString([]byte(body)))} {
			most := Takes(b)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			Token(b)
			_, _ = Decode(shop, b, received)
			runtime.ReadMemStats(&after)
			if allocated := int(after.TotalAlloc - before.TotalAlloc); allocated > most {
				t.Errorf("%s, %s of %d bytes: allocates %d bytes, at most %d", name, form, len(b), allocated, most)
			} else {
				t.Logf("%s, %s: %.1f of %.1f bytes a byte", name, form, float64(allocated)/float64(len(b)), float64(most)/float64(len(b)))
			}
		}
	}
}
