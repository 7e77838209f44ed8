package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// recorded is a line of shared/fixtures/clients.jsonl: a real client's request,
// and what the client needs in the answer.
type recorded struct {
	Client, Method, Path string
	Headers              map[string]string
	Body                 *string
	Status               int
	Needs                string
}

// needs translates the words of a recorded client's `needs` to matchers of
// match.
var needs = map[string]string{
	"success true":                "{\"success\": true, \"...\": true}",
	"success true, time a number": `{"success": true, "time": "<number>", "...": true}`,
	"success true, results[i].success for each, time in the third, errors (array) in the fourth": `{"success": true, "...": true, "results": [
		{"success": true, "...": true}, {"success": true, "...": true},
		{"success": true, "time": "<number>", "...": true},
		{"success": false, "errors": ["<string>"], "...": true}]}`,
	"ids, properties, events": `{"success": true, "ids": {"...": true}, "properties": {"...": true}, "events": "<any>", "...": true}`,
	"data (array)":            `{"success": true, "data": [], "...": true}`, // that customer has no purchase
	"results, one for each attribute, in order": `{"success": true, "...": true, "results": [
		{"success": true, "value": "L"}, {"success": false, "error": "Not Found"}, {"success": true, "value": "<any>"},
		{"success": false, "error": "Not Found"}, {"success": false, "error": "Not Found"}, {"success": false, "error": "Not Found"}]}`,
	"results":                          `{"success": true, "results": ["<any>"], "...": true}`,
	"fields, data":                     `{"success": true, "fields": "<any>", "data": "<any>", "...": true}`,
	"any 2xx means delivered":          `{"success": true, "...": true}`,
	"command_id echoed in each result": `{"success": true, "...": true, "results": [{"success": true, "command_id": "11"}, {"success": true, "command_id": "12"}]}`,
}

// TestClients sends recorded requests of real clients, byte for byte and in
// order.
func TestClients(t *testing.T) {
	t.Parallel()
	lines := bytes.Split(bytes.TrimSpace(shared(t, "fixtures/clients.jsonl")), []byte("\n"))
	s := start(t, baseConfig)
	s.log.private("jane@example.com", "71901502034", "d799e53c-4782", "shopper@example.com")
	for i, line := range lines {
		var r recorded
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if complaint := s.replay(t, r); complaint != "" {
			t.Errorf("line %d, %s, %s: %s", i+1, r.Client, r.Path, complaint)
		}
	}
}

// replay sends a recorded request and returns what the answer lacks, or an
// empty text.
func (s *server) replay(t *testing.T, r recorded) string {
	t.Helper()
	wanted, ok := needs[r.Needs]
	if !ok {
		t.Fatalf("nobody knows what %q means: add it to needs", r.Needs)
	}
	var want any
	if err := json.Unmarshal([]byte(wanted), &want); err != nil {
		t.Fatal(err)
	}
	keys := strings.NewReplacer("{basic}", base64.StdEncoding.EncodeToString([]byte(privateID+":"+secretKey)), "{public}", publicKey)
	send := request{method: r.Method, path: r.Path, auth: "none", header: map[string]string{}}
	for name, value := range r.Headers {
		send.header[name] = keys.Replace(value)
	}
	if r.Body != nil {
		send.body = []byte(*r.Body)
	}
	res := s.do(t, send)
	if res.status != r.Status {
		return fmt.Sprintf("got %v, want status %d", res, r.Status)
	}
	got, err := res.inflated(t).json()
	if err != nil {
		return err.Error()
	}
	if d := match(want, got, "$"); d != "" {
		return fmt.Sprintf("%s\nanswer: %v", d, res)
	}
	return ""
}
