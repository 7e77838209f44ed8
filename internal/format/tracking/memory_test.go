package tracking

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/cost"
	"trackway/internal/scale"
)

// TestMemory checks that the total allocations of decoding, garbage included,
// stay within the bound of package cost for any body. Each body is the worst of
// its kind, in several sizes, so that the test finds a factor that grows with
// the body.
func TestMemory(t *testing.T) { // not parallel: it measures the process
	const base = 1 << 10 // of each body
	worst := 0.0
	for name, body := range worstBodies() {
		ways := waysIn()
		for _, size := range []int{2_000, 30_000, 200_000} {
			b := []byte(body(size))
			for way, decode := range ways {
				allocated := allocatedBy(func() { decode(b) })
				worst = max(worst, float64(allocated-base)/float64(len(b)))
				if most := cost.Of(b, trackway.MaxCommands); allocated > most {
					t.Errorf("%s of %d bytes, %s: allocates %d bytes, at most %d", name, len(b), way, allocated, most)
				}
				if allocated < 3*len(b)/2 {
					delete(ways, way) // it costs little for such a body
				}
			}
		}
	}
	t.Logf("the worst factor is %.1f", worst)
	if worst < cost.Factor/3 {
		t.Errorf("cost.Factor is %d, which is far more than the worst: %.1f", cost.Factor, worst)
	}
}

// TestMemoryOfTheWorst sends a body that once took 1.3 GB. It is refused by its
// length, before any member is kept.
func TestMemoryOfTheWorst(t *testing.T) { // not parallel, as above
	members := scale.Of(8_000_000, 500_000)
	body := []byte(`{"commands":[` + inBatch + inEvent + `{"a":` + `{"b":0` + strings.Repeat(`,"":0`, members) + `}}}}]}`)
	var b *format.Batch
	var items []item
	var err *trackway.Error
	allocated := allocatedBy(func() { b, err = DecodeBatch(body, received) })
	items = itemsOf(b)
	if err != nil || items[0].Err == nil || items[0].Err.Field != "properties.a" || allocated > 64<<10 {
		t.Errorf("got %+v, %v, after allocating %d bytes", items, err, allocated)
	}
}

// waysIn returns all decoders. Each receives each body, as in the server's
// routes.
func waysIn() map[string]func([]byte) {
	return map[string]func([]byte){
		"single":  func(b []byte) { _, _ = DecodeCommand(Events, b, received) },
		"click":   func(b []byte) { _, _ = DecodeCommand(Clicks, b, received) },
		"batch":   func(b []byte) { _, _ = DecodeBatch(b, received) },
		"import":  func(b []byte) { _, _ = DecodeLine(b, received) },
		"reading": func(b []byte) { _, _ = DecodeEvents(b) },
		"erasing": func(b []byte) { _, _ = DecodeCustomers(b) },
		"export":  func(b []byte) { _, _, _, _ = DecodeExport(b) },
	}
}

func allocatedBy(do func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// fill repeats parts in brackets up to a size in bytes. A %d in a part becomes
// its number.
func fill(size int, open, part, end string) string {
	var b strings.Builder
	b.WriteString(open)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.Contains(part, "%d") {
			fmt.Fprintf(&b, part, i)
		} else {
			b.WriteString(part)
		}
	}
	return b.String() + end
}

const (
	inEvent = `{"event_type":"e","customer_ids":{"cookie":"c"},"properties":`
	inBatch = `{"name":"customers/events","data":`
)

// worstBodies returns functions that make bodies of about a size, by content.
func worstBodies() map[string]func(size int) string {
	unsorted := func(size int, part string) string { return fill(size, `{"b":0,`, part, `}`) }
	values := map[string]func(size int) string{
		"duplicate names":          func(size int) string { return unsorted(size, `"":0`) },
		"names in order":           func(size int) string { return fill(size, `{`, `"":0`, `}`) },
		"names":                    func(size int) string { return unsorted(size, `"%d":0`) },
		"escaped names":            func(size int) string { return unsorted(size, `"\n%d":0`) },
		"arrays of objects":        func(size int) string { return fill(size, `[`, `{"b":0,"":0}`, `]`) },
		"arrays of numbers":        func(size int) string { return fill(size, `[ `, `0`, `]`) },
		"wide objects":             func(size int) string { return fill(size, `[`, fill(20_000, `{"b":0,`, `"":0`, `}`), `]`) },
		"escaped strings":          func(size int) string { return fill(size, `[`, `"\u0061\/\n"`, `]`) },
		"one string":               func(size int) string { return `"` + strings.Repeat(`\/`, size/2) + `"` },
		"one string, not in order": func(size int) string { return `{"b":"` + strings.Repeat(`\/`, size/2) + `","a":0}` },
		"spaces":                   func(size int) string { return `[` + strings.Repeat(" ", size) + `{}]` },
		"many members at each level": func(size int) string {
			return strings.Repeat(fill(size/canonjson.MaxDepth, `{"b":0,`, `"":0`, `,"a":`), canonjson.MaxDepth) + `1` + strings.Repeat("}", canonjson.MaxDepth)
		},
		"too deep":     func(size int) string { return strings.Repeat(`[`, size/2) + strings.Repeat(`]`, size/2) },
		"too deep, 2":  func(size int) string { return strings.Repeat(`{"":`, size/5) + `0` + strings.Repeat(`}`, size/5) },
		"unclosed":     func(size int) string { return strings.Repeat(`[`, size) },
		"long numbers": func(size int) string { return fill(size, `[`, strings.Repeat("9", 65), `]`) },
	}
	bodies := map[string]func(size int) string{
		"ids of one digit": func(size int) string { return ofIDs(size, `1`) },
		"ids, escaped":     func(size int) string { return ofIDs(size, `"\n"`) },
		"names of ids":     func(size int) string { return fill(size, `{"event_type":"e","customer_ids":{`, `"%d":1`, `}}`) },
		"empty commands":   func(size int) string { return fill(size, `{"commands":[`, `{}`, `]}`) },
		"bad commands": func(size int) string {
			return fill(size, `{"commands":[`, `{"name":"`+strings.Repeat("x", 80)+`"}`, `]}`)
		},
		"commands that are no": func(size int) string { return fill(size, `{"commands":[`, `0`, `]}`) },
		"repeated commands":    func(size int) string { return fill(size, `{`, `"commands":[{}]`, `}`) },
		"repeated bad fields": func(size int) string {
			return fill(size, `{`, `"properties":0,"customer_ids":{"":[[]]},"commands":0`, `}`)
		},
		"unknown fields":  func(size int) string { return fill(size, `{`, `"%d":0`, `}`) },
		"event types":     func(size int) string { return fill(size, `{"customer_ids":{"a":"b"},"event_types":[`, `""`, `]}`) },
		"bad event types": func(size int) string { return fill(size, `{"customer_ids":{"a":"b"},"event_types":[`, `0`, `]}`) },
		"customers":       func(size int) string { return fill(size, `{"customers":[`, `{}`, `]}`) },
		"customers with ids": func(size int) string {
			return fill(size, `{"customers":[`, `{"customer_ids":{"a":[1,1,1,1,1,1,1,1]}}`, `]}`)
		},
		"attributes":               func(size int) string { return fill(size, `{"format":"csv","attributes":[`, `{"type":"z"}`, `]}`) },
		"usual events in a batch":  func(size int) string { return fill(min(size, 25_000), `{"commands":[`, inBatch+benchEvent+`}`, `]}`) },
		"spaced events in a batch": func(size int) string { return fill(min(size, 25_000), `{"commands":[`, inBatch+pyEvent+`}`, `]}`) },
	}
	for name, value := range values {
		inValue := func(size int) string { return inEvent + `{"a":` + value(size) + `}}` }
		bodies[name+" in a value"] = inValue
		bodies[name+" in the id of a command"] = func(size int) string { return `{"commands":[{"command_id":` + value(size) + `}]}` }
		bodies[name+" as ids"] = func(size int) string { return `{"customer_ids":{"a":` + value(size) + `}}` }
		bodies[name+" in fifty commands"] = func(size int) string {
			one := inBatch + inValue(size/trackway.MaxCommands) + `}`
			return `{"commands":[` + one + strings.Repeat(`,`+one, trackway.MaxCommands-1) + `]}`
		}
		bodies[name+" in a line"] = func(size int) string { return inBatch + inValue(size) + `}` }
		if v := value(10); v[0] == '{' {
			bodies[name+" as properties"] = func(size int) string { return inEvent + value(size) + `}` }
			bodies[name+" as a body"] = value
		}
	}
	return bodies
}

// ofIDs returns a batch of commands with the maximum number of ids.
func ofIDs(size int, id string) string {
	n := min(maxIDs, size/len(id))
	one := inBatch + `{"customer_ids":{"":[` + id + strings.Repeat(`,`+id, n-1) + `]}}}`
	return `{"commands":[` + one + strings.Repeat(`,`+one, min(size/len(one), trackway.MaxCommands-1)) + `]}`
}
