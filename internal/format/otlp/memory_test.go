package otlp

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"trackway"
	"trackway/internal/format"
)

// TestMemory checks that decoding a body allocates no more than was reserved
// for it, whatever the body contains.
func TestMemory(t *testing.T) { // not parallel: it measures the process
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	records := func(one string, n int) []byte {
		return request("", "", repeated(one, n)...)
	}
	deep, deepMap := "", ""
	for range 99 {
		deep, deepMap = bytesField(5, bytesField(1, deep)), bytesField(6, bytesField(1, bytesField(2, deepMap)))
	}
	named := bytesField(12, "e")
	protos := map[string][]byte{
		"empty records":      records("", MaxRecords),
		"too many":           records("", 2*MaxRecords),
		"named records":      records(named, MaxRecords),
		"small records":      records(named+attribute(6, "user.id", text("u")), MaxRecords),
		"all fields":         records(fixed64(1, 1)+varint(2, 1)+bytesField(3, "a")+bytesField(5, "")+bytesField(9, "\x01")+bytesField(10, "\x01")+named, MaxRecords),
		"small attributes":   records(named+many(attribute(6, "", ""), 4000), 10),
		"numbers":            records(named+many(attribute(6, "", fixed64(4, math.Float64bits(-2.2250738585072014e-308))), 4000), 10),
		"integers":           records(named+many(attribute(6, "", varint(3, 1<<63)), 4000), 10),
		"control characters": records(named+bytesField(5, text(many("\x01", 100_000))), 1),
		"no UTF-8":           records(named+bytesField(5, text(many("\xff", 100_000))), 1),
		"no UTF-8 in keys":   records(named+many(attribute(6, many("\xff", 30), ""), 4000), 1),
		"bytes":              records(named+bytesField(5, bytesField(7, many("\xff", 100_000))), 1),
		"a list":             records(named+bytesField(5, bytesField(5, many(bytesField(1, ""), 50_000))), 1),
		"a map":              records(named+bytesField(5, bytesField(6, many(bytesField(1, ""), 50_000))), 1),
		"maps":               records(named+many(attribute(6, "", bytesField(6, many(bytesField(1, ""), 2))), 4000), 10),
		"deep":               records(named+many(attribute(6, "", deep), 100), 1),
		"deep maps":          records(named+many(attribute(6, "", deepMap), 100), 1),
		"a large resource":   request(attribute(1, "a", text(many("\x01", 2700))), "", repeated(named, 1000)...),
		"many resources":     []byte(many(bytesField(1, bytesField(1, attribute(1, "a", ""))), 10_000)),
		"a usual batch":      records(sampleRecord, 100),
	}
	for name, body := range protos {
		hold(t, name, body, decodeProto, protoTakes)
	}
	several := *shop
	several.DeviceAttributes = []string{"a", "b", "c", "d"}
	decodeForSeveral := func(_ *trackway.Project, body []byte, at trackway.Micros) (*format.Batch, *trackway.Error) {
		return decodeProto(&several, body, at)
	}
	for name, record := range map[string]string{
		"no ids":      named,
		"several ids": named + attribute(6, "a", text("1")) + attribute(6, "b", text("2")) + attribute(6, "c", text("3")) + attribute(6, "d", text("4")),
	} {
		hold(t, name, records(record, MaxRecords), decodeForSeveral, protoTakes)
	}
	jsonRecords := func(one string, n int) []byte {
		return []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + one + many(","+one, n-1) + `]}]}]}`)
	}
	for name, body := range map[string][]byte{
		"empty records":    jsonRecords(`{}`, MaxRecords),
		"too many":         jsonRecords(`{}`, 2*MaxRecords),
		"small records":    jsonRecords(`{"eventName":"e"}`, MaxRecords),
		"small attributes": jsonRecords(`{"eventName":"e","attributes":[{}`+many(`,{}`, 4000)+`]}`, 10),
		"a list":           jsonRecords(`{"body":{"arrayValue":{"values":[{}`+many(`,{}`, 50_000)+`]}}}`, 1),
		"a map":            jsonRecords(`{"body":{"kvlistValue":{"values":[{}`+many(`,{}`, 50_000)+`]}}}`, 1),
		"numbers":          jsonRecords(`{"body":{"arrayValue":{"values":[{}`+many(`,{"doubleValue":1e20}`, 50_000)+`]}}}`, 1),
		"bad fields":       jsonRecords(`{"timeUnixNano":"x","traceId":"`+many("z", 100)+`"}`, 1000),
	} {
		hold(t, name+" in JSON", body, decodeJSON, jsonTakes)
	}
}

var sampleRecord = fixed64(1, 1_700_000_000_123_456_789) + bytesField(12, "Order Completed") + attribute(6, "user.id", text("jane@example.com")) +
	attribute(6, "http.url", text("https://shop.example.com/shoes/trail-running-shoe?color=blue&size=42")) + attribute(6, "total", fixed64(4, math.Float64bits(7.99))) +
	attribute(6, "session.id", text("91b7c2e0")) + attribute(6, "device.id", text("a0f3")) + string(protowire.AppendTag(nil, 99, protowire.VarintType)) + "\x01"

func repeated(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

func hold(t *testing.T, name string, body []byte, decode func(*trackway.Project, []byte, trackway.Micros) (*format.Batch, *trackway.Error), takes func([]byte) int) {
	t.Helper()
	most := takes(body)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = decode(shop, body, received)
	runtime.ReadMemStats(&after)
	perByte := func(n int) float64 { return float64(n) / float64(len(body)) }
	if allocated := int(after.TotalAlloc - before.TotalAlloc); allocated > most {
		t.Errorf("%s of %d bytes: allocates %.1f bytes a byte, at most %.1f", name, len(body), perByte(allocated), perByte(most))
	} else {
		t.Logf("%s of %d bytes: %.1f of %.1f bytes a byte", name, len(body), perByte(allocated), perByte(most))
	}
}
