package tracking

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/prereq"
)

const shared = "../../../../shared/"

// sharedFile returns a file of the folder beside the project, or nil if it does
// not exist.
func sharedFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(shared + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// request is a recorded or a specified request.
type request struct {
	Client string          `json:"client"`
	Path   string          `json:"path"`
	Body   *string         `json:"body"` // of a fixture
	JSON   json.RawMessage `json:"json"` // of a conformance vector
}

// fixtures returns the requests of real clients that have a body.
func fixtures(tb testing.TB) []request {
	tb.Helper()
	var requests []request
	lines := bufio.NewScanner(bytes.NewReader(sharedFile(tb, "fixtures/clients.jsonl")))
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			tb.Fatal(err)
		}
		if r.Body != nil {
			requests = append(requests, r)
		}
	}
	return requests
}

func fixtureBodies(tb testing.TB) (bodies [][]byte) {
	tb.Helper()
	for _, r := range fixtures(tb) {
		bodies = append(bodies, []byte(*r.Body))
	}
	return bodies
}

// decodeRoute decodes a body as the server does for the path. It returns the
// number of its commands or ids.
func decodeRoute(t *testing.T, path, body string) (n int, errs []*trackway.Error) {
	t.Helper()
	_, route, _ := strings.Cut(path, "{token}/")
	b := []byte(body)
	one := func(n int, err *trackway.Error) (int, []*trackway.Error) {
		if err != nil {
			errs = append(errs, err)
		}
		return n, errs
	}
	if strings.HasPrefix(strings.TrimLeft(path, "/"), "data/") {
		switch route {
		case "customers/export-one", "customers/anonymize":
			ids, err := DecodeCustomer(b)
			return one(len(ids), err)
		case "customers/events":
			q, err := DecodeEvents(b)
			return one(len(q.IDs)*len(q.Types), err)
		case "customers/attributes":
			_, attributes, err := DecodeAttributes(b)
			return one(len(attributes), err)
		case "customers/export":
			format, _, _, err := DecodeExport(b)
			return one(len(format), err)
		}
		t.Fatalf("no decoder for %s", path)
	}
	if route != "batch" {
		c, err := DecodeCommand(route, b, received)
		return one(c.Bytes, err)
	}
	items, err := decodeItems(b)
	for _, it := range items {
		_, _ = one(0, it.Err)
	}
	return one(len(items), err)
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	requests := fixtures(t)
	if len(requests) == 0 {
		prereq.Missing(t, prereq.Shared, "no fixtures")
	}
	for _, r := range requests {
		if n, errs := decodeRoute(t, r.Path, *r.Body); n == 0 || len(errs) > 0 {
			t.Errorf("%s, %s: got %d, errors %v", r.Client, r.Path, n, errs)
		}
	}
}

// vector is one case of a conformance file. J is the part of the JSON answer
// that its tests check.
type vector[J any] struct {
	Case  string
	Steps []struct {
		Request  request
		Response struct {
			Status int
			JSON   J
		}
	}
}

// vectors returns the cases of a conformance file.
func vectors[J any](t *testing.T, name string) (cases []vector[J]) {
	t.Helper()
	text := sharedFile(t, name)
	if text == nil {
		prereq.Missing(t, prereq.Shared, "no "+name)
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// The package refuses those vectors' requests that it has to refuse, with the
// expected message, and decodes all others. It decodes commands that ingest
// refuses (missing or unknown ids, no type).
func TestConformance(t *testing.T) {
	t.Parallel()
	cases := vectors[struct{ Message string }](t, "conformance/tracking.json")
	refused := map[string]string{ // by body: the message of a refused command in an accepted body
		`{"customer_ids": {"registered": "x"}, "properties": []}`: "Field 'properties': expected an object, got an array.",
	}
	seen := 0
	for _, c := range cases {
		for _, step := range c.Steps {
			body := string(step.Request.JSON)
			if body == "" {
				continue
			}
			seen++
			_, errs := decodeRoute(t, step.Request.Path, body)
			want := step.Response.JSON.Message + refused[body]
			if c.Case == "batch" && strings.Contains(body, "no_such_command") {
				want = "Unknown command 'customers/no_such_command': known are " + known + "."
			}
			if got := messages(errs); got != want {
				t.Errorf("%s: %s: got %q, want %q", c.Case, body, got, want)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d vectors with a body", seen)
	}
}

// TestFindings decodes the requests of conformance/findings.json, which records
// what was decided after the findings of 28 November 2026. It checks that the
// decoder refuses the expected number of commands of each batch.
func TestFindings(t *testing.T) {
	t.Parallel()
	cases := vectors[struct{ Results []struct{ Success bool } }](t, "conformance/findings.json")
	for _, c := range cases {
		for _, step := range c.Steps {
			body := string(step.Request.JSON)
			if body == "" || step.Response.Status != http.StatusOK {
				continue
			}
			want := 0
			for _, result := range step.Response.JSON.Results {
				if !result.Success && strings.HasSuffix(step.Request.Path, "/batch") {
					want++
				}
			}
			if _, errs := decodeRoute(t, step.Request.Path, body); len(errs) != want {
				t.Errorf("%s: %.200s: got %q, want %d errors", c.Case, body, messages(errs), want)
			}
		}
	}
}

func messages(errs []*trackway.Error) string {
	var all []string
	for _, err := range errs {
		all = append(all, Text(err))
	}
	return strings.Join(all, "; ")
}
