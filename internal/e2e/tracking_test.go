package e2e

import (
	"encoding/json"
	"mime"
	"testing"
)

// trackingCase is an element of shared/conformance/tracking.json, or of
// findings.json, which has later decisions.
type trackingCase struct {
	Case  string
	Steps []trackingStep
}

type trackingStep struct {
	Request struct {
		Method, Path, Auth, Raw string
		JSON                    json.RawMessage
	}
	Response struct {
		Status int
		JSON   any
	}
}

func TestTracking(t *testing.T) {
	t.Parallel()
	runCases(t, "conformance/tracking.json")
}

func TestFindings(t *testing.T) {
	t.Parallel()
	runCases(t, "conformance/findings.json")
}

// runCases runs every case of a file, each against a new server.
func runCases(t *testing.T, file string) {
	t.Helper()
	var cases []trackingCase
	if err := json.Unmarshal(shared(t, file), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("there are no cases")
	}
	for _, c := range cases {
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			s := start(t, baseConfig)
			s.log.private("jane@example.com", "71901502034", "ck-1")
			for _, step := range c.Steps {
				s.checkStep(t, step)
			}
		})
	}
}

func (s *server) checkStep(t *testing.T, step trackingStep) {
	t.Helper()
	sent := step.Request
	body := []byte(sent.JSON)
	if sent.Raw != "" {
		body = []byte(sent.Raw)
	}
	res := s.do(t, request{method: sent.Method, path: sent.Path, auth: sent.Auth, body: body})
	got, err := res.json()
	if d := match(step.Response.JSON, got, "$"); err != nil || d != "" || res.status != step.Response.Status {
		t.Errorf("%s %s as %s: %s\ngot %v, want %d %v (%v)", sent.Method, sent.Path, sent.Auth, body, res, step.Response.Status, d, err)
	}
	checkJSON(t, res)
}

// checkJSON checks that an answer has the media type of its body.
func checkJSON(t *testing.T, res response) {
	t.Helper()
	media, _, err := mime.ParseMediaType(res.header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		t.Errorf("got Content-Type %q, want application/json", res.header.Get("Content-Type"))
	}
}
