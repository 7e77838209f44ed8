package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const streamID = "3a1f-stream"

// keyless lets the project of a configuration take calls in stream mode, and
// those of old clients.
var keyless = strings.NewReplacer("    personal:", "    stream_id: "+streamID+"\n    legacy: true\n    personal:")

// originalCase is an element of openapi/vectors/original: a request as an SDK
// sends it, and what the SDK needs in the answer.
type originalCase struct {
	Name, Method, Path string
	Headers            map[string]string
	Body               json.RawMessage
	Status             int
	Answer             any // absent: not compared
}

func originalCases(t *testing.T) []originalCase {
	t.Helper()
	text, err := os.ReadFile(root + "/openapi/vectors/original/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("{token}", projectToken, "{stream}", streamID, "{key}", publicKey).Replace(string(text)))
	var all struct{ Cases []originalCase }
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil || len(all.Cases) == 0 {
		t.Fatal("there are no cases", err)
	}
	return all.Cases
}

// The SDKs of the original get the answers that they need, on the paths beside
// the tracking API's own: in stream mode, from old clients, and to what apps
// ask. The server stores what they track.
func TestOriginal(t *testing.T) {
	t.Parallel()
	s := start(t, keyless.Replace(baseConfig))
	s.log.private("jane@example.com", "joe@example.com", "c-1", "c-2")
	for _, c := range originalCases(t) {
		res := s.do(t, request{method: c.Method, path: c.Path, auth: "none", header: c.Headers, body: c.Body})
		if res.status != c.Status {
			t.Errorf("%s: got %v, want %d", c.Name, res, c.Status)
			continue
		}
		var answer any
		if err := json.Unmarshal(res.body, &answer); err != nil || c.Answer != nil && !reflect.DeepEqual(answer, c.Answer) {
			t.Errorf("%s: got %s, want %v (%v)", c.Name, res.body, c.Answer, err)
		}
		switch c.Name {
		case "stream mode: batch":
			if !bytes.Contains(res.body, []byte(`"results":[{"success":true}]`)) {
				t.Errorf("%s: got %s", c.Name, res.body)
			}
		case "old Python client: bulk":
			want := `{"success":true,"results":[{"status":"ok"},{"status":"ok"},{"status":"error","errors":["At least one id should be specified."]}]}`
			if string(res.body) != want {
				t.Errorf("%s: got %s, want %s", c.Name, res.body, want)
			}
		}
	}
	for id, want := range map[string][]string{
		"jane@example.com": {"session_start", "campaign_click", "page_visit", "page_visit"},
		"joe@example.com":  {"visit", "purchase"},
	} {
		c := s.exportOne(t, map[string]any{"registered": id})
		if c == nil {
			t.Fatalf("there is no %s", id)
		}
		var types []string
		for _, e := range c.Events {
			types = append(types, e.Type)
		}
		if !slices.Equal(types, want) {
			t.Errorf("%s: got %v, want %v", id, types, want)
		}
	}
}

// Without stream_id and legacy in the configuration, nobody tracks without a
// key.
func TestOriginalIsOff(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	s.log.private("c-1", "joe@example.com", "c-2")
	for _, c := range originalCases(t) {
		res := s.do(t, request{method: c.Method, path: c.Path, auth: "none", header: c.Headers, body: c.Body})
		old := strings.HasPrefix(c.Path, "/bulk") || strings.HasPrefix(c.Path, "/crm/")
		stream := (strings.HasPrefix(c.Path, "/track/") || strings.HasPrefix(c.Path, "/data/")) && strings.Contains(c.Path, streamID)
		want := c.Status
		switch {
		case old:
			want = 403
		case stream:
			want = 400
		}
		if res.status != want {
			t.Errorf("%s: got %v, want %d", c.Name, res, want)
		}
	}
	// All commands of a call name the same project, and the first one decides.
	on := start(t, keyless.Replace(baseConfig))
	on.log.private("c-2")
	const other = "99999999-9999-9999-9999-999999999999"
	body := `{"commands":[{"name":"crm/events","data":{"customer_ids":{"cookie":"c-2"},"project_id":"` + projectToken + `","type":"a"}},` +
		`{"name":"crm/events","data":{"customer_ids":{"cookie":"c-2"},"company_id":"` + other + `","type":"b"}}]}`
	res := on.do(t, request{path: "/bulk", auth: "none", body: []byte(body)})
	if res.status != 200 || !bytes.Contains(res.body, []byte(`[{"status":"ok"},{"status":"error","errors":["Field 'company_id': all commands of a call must name the same project."]}]`)) {
		t.Errorf("got %v", res)
	}
	res = on.do(t, request{path: "/crm/events", auth: "none", body: []byte(`{"customer_ids":{"cookie":"c-2"},"project_id":"` + other + `","type":"a"}`)})
	if res.status != 400 || !bytes.Contains(res.body, []byte("Invalid project id")) {
		t.Errorf("got %v", res)
	}
}
