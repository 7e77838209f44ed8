package tracking

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// benchEvent is a usual event of a shop's page: 513 bytes, twelve properties,
// written compactly and with unsorted names.
const benchEvent = `{"customer_ids":{"registered":"jane.doe@example.com","cookie":"d799e53c-4782-47ae-ba14-df6e29eefb36"},` +
	`"event_type":"view_item","timestamp":1762000001.523114,"properties":{"item_id":"sku-0019284","title":"Trail running shoe",` +
	`"price":129.95,"currency":"EUR","category":["shoes","trail"],"in_stock":true,` +
	`"location":"https://shop.example.com/shoes/trail-running-shoe?color=blue&size=42","referrer":"https://www.example.com/",` +
	`"language":"en-GB","os":"Android","device":{"id":"a0f3","width":1080},"session":"91b7c2e0"}}`

var benchBatch = `{"commands":[` + strings.TrimSuffix(strings.Repeat(`{"name":"customers/events","data":`+strings.TrimSpace(benchEvent)+`},`, 50), ",") + `]}`

// pyEvent is the same event as Python's json writes it: with spaces after
// punctuation, which makes nested values non-canonical.
var pyEvent = strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(strings.TrimSpace(benchEvent))

// rival is an event for a decoder by reflection: ids and properties stay raw
// and unsorted, which is less work.
type rival struct {
	IDs        map[string]string         `json:"customer_ids"`
	Type       string                    `json:"event_type"`
	Timestamp  float64                   `json:"timestamp"`
	Properties map[string]jsontext.Value `json:"properties"`
}

type rivalV1 struct {
	IDs        map[string]string          `json:"customer_ids"`
	Type       string                     `json:"event_type"`
	Timestamp  float64                    `json:"timestamp"`
	Properties map[string]json.RawMessage `json:"properties"`
}

type rivalBatch struct {
	Commands []struct {
		Name string `json:"name"`
		Data rival  `json:"data"`
	} `json:"commands"`
}

type rivalBatchV1 struct {
	Commands []struct {
		Name string  `json:"name"`
		Data rivalV1 `json:"data"`
	} `json:"commands"`
}

func BenchmarkDecode(b *testing.B) {
	if len(benchEvent) != 513 {
		b.Fatalf("the event has %d bytes", len(benchEvent))
	}
	event, batch, py := []byte(benchEvent), []byte(benchBatch), []byte(pyEvent)
	lastWins := jsontext.AllowDuplicateNames(true)
	run := func(name string, body []byte, decode func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	command := func(body []byte) func() error {
		return func() error {
			if _, err := DecodeCommand(Events, body, received); err != nil {
				return err
			}
			return nil
		}
	}
	run("event/decode", event, command(event))
	run("event/decode-spaced", py, command(py))
	run("event/jsontext-tokens", event, func() error { return readTokens(event, lastWins) })
	run("event/json-v2", event, func() error { return jsonv2.Unmarshal(event, new(rival), lastWins) })
	run("event/encoding-json", event, func() error { return json.Unmarshal(event, new(rivalV1)) })
	run("batch50/decode", batch, func() error {
		if _, err := DecodeBatch(batch, received); err != nil {
			return err
		}
		return nil
	})
	run("batch50/json-v2", batch, func() error { return jsonv2.Unmarshal(batch, new(rivalBatch), lastWins) })
	run("batch50/encoding-json", batch, func() error { return json.Unmarshal(batch, new(rivalBatchV1)) })
}

// readTokens only validates and tokenizes, which is the minimum for any decoder
// on top of jsontext.
func readTokens(body []byte, opts jsontext.Options) error {
	d := jsontext.NewDecoder(bytes.NewReader(body), opts)
	depth := 0
	for {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		switch token.Kind() {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	batch, err := DecodeBatch([]byte(benchBatch), received)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	dst := make([]byte, 0, 4<<10)
	for b.Loop() {
		dst = appendBatch(dst[:0], batch, received+1)
	}
}
