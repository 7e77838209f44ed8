package otlp

import (
	"google.golang.org/protobuf/encoding/protowire"

	"trackway/internal/canonjson"
	"trackway/internal/format/cost"
)

// jsonTakes returns a bound on the bytes that decoding a body in JSON
// allocates.
func jsonTakes(body []byte) int { return len(body) + cost.Of(body, MaxRecords) }

// Bounds on the bytes that decoding a body of protocol buffers allocates.
const (
	protoBase      = 4 << 10
	protoPerByte   = 24
	protoPerValue  = 128 // for an attribute, or a part of a list or map
	protoPerRecord = 640
)

// protoTakes returns the bound for a body of protocol buffers. It goes through
// the whole body, but reads only the lengths of its fields.
func protoTakes(body []byte) int {
	records, values := 0, 0
	each(body, 1, func(resourceLogs []byte) {
		each(resourceLogs, 1, func(resource []byte) { each(resource, 1, func(a []byte) { values += valuesOf(a, 0) }) })
		each(resourceLogs, 2, func(scopeLogs []byte) {
			each(scopeLogs, 1, func(scope []byte) { each(scope, 3, func(a []byte) { values += valuesOf(a, 0) }) })
			each(scopeLogs, 2, func(record []byte) {
				records++
				each(record, 5, func(body []byte) { values += valueOf(body, 0) })
				each(record, 6, func(a []byte) { values += valuesOf(a, 0) })
			})
		})
	})
	return protoBase + protoPerByte*len(body) + protoPerValue*values + protoPerRecord*min(records, MaxRecords)
}

// valuesOf counts a KeyValue and the values in it.
func valuesOf(keyValue []byte, depth int) (n int) {
	each(keyValue, 2, func(raw []byte) { n += valueOf(raw, depth) })
	return n + 1
}

// valueOf counts an AnyValue and the values in it.
func valueOf(raw []byte, depth int) (n int) {
	if depth <= canonjson.MaxDepth {
		each(raw, 5, func(list []byte) { each(list, 1, func(raw []byte) { n += valueOf(raw, depth+1) }) })
		each(raw, 6, func(list []byte) { each(list, 1, func(keyValue []byte) { n += valuesOf(keyValue, depth+1) }) })
	}
	return n + 1
}

// each calls do for each message that is a field of a message, up to the first
// damage.
func each(message []byte, id protowire.Number, do func([]byte)) {
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return
		}
		if message = rest; f.is(id, protowire.BytesType) {
			do(f.bytes)
		}
	}
}
