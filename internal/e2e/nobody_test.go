package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const trackPath = "/track/v2/projects/{token}/"

// TestNobody sends identifiers that name nobody through every interface, beside
// one that names a customer. The command is accepted, and the ignored
// identifiers lead to no customer.
func TestNobody(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	nobody := []string{
		`""`, `"  \t"`, `null`, `[]`, `[null,""]`, `"null"`, `"Undefined"`, `"NONE"`, `"nil"`, `"NaN"`, `"(null)"`, `"[object Object]"`, `0`, `"0"`, `-0.0`, `"---"`,
	}
	for i, value := range nobody {
		ids := fmt.Sprintf(`{"registered":%s,"cookie":["c-%d",null,"undefined"]}`, value, i)
		command := fmt.Sprintf(`{"customer_ids":%s,"event_type":"e","timestamp":1}`, ids)
		for _, r := range []request{
			{path: trackPath + "customers", body: fmt.Appendf(nil, `{"customer_ids":%s,"properties":{"n":%d}}`, ids, i)},
			{path: trackPath + "customers/events", auth: "public", body: []byte(command)},
			{path: trackPath + "campaigns/clicks", body: fmt.Appendf(nil, `{"customer_ids":%s,"timestamp":2}`, ids)},
			{path: trackPath + "batch", body: fmt.Appendf(nil, `{"commands":[{"name":"customers/events","data":%s}]}`, command)},
		} {
			if res := s.do(t, r); !res.success() || strings.Contains(string(res.body), `"success":false`) {
				t.Errorf("%s %s: got %v", r.path, r.body, res)
			}
		}
		c := s.exportOne(t, json.RawMessage(ids))
		want := map[string]any{"cookie": []any{fmt.Sprintf("c-%d", i)}}
		if c == nil || cmp.Diff(want, c.IDs) != "" || len(c.Events) != 2 || c.Properties["n"] != float64(i) {
			t.Errorf("%s: got %+v", ids, c)
		}
		none := fmt.Appendf(nil, `{"customer_ids":{"registered":%s}}`, value)
		res := s.do(t, request{path: "/data/v2/projects/{token}/customers/export-one", body: none})
		if res.status != http.StatusBadRequest || !strings.Contains(string(res.body), "Must specify at least one customer ID") {
			t.Errorf("export-one of %s: got %v", none, res)
		}
		res = s.do(t, request{path: trackPath + "customers", body: none})
		if res.status != http.StatusBadRequest || !strings.Contains(string(res.body), "At least one id should be specified.") {
			t.Errorf("customers %s: got %v", none, res)
		}
		if res := s.do(t, request{path: trackPath + "campaigns/clicks", body: none}); !res.success() {
			t.Errorf("a click of nobody: got %v", res)
		}
	}
	res := s.do(t, request{path: trackPath + "customers", body: []byte(`{"customer_ids":{"phone":null,"registered":"r"}}`)})
	if res.status != http.StatusBadRequest || !strings.Contains(string(res.body), "registered or cookie") {
		t.Errorf("an identifier that the project does not have: got %v", res)
	}
	if c := s.exportOne(t, map[string]any{"cookie": 0}); c != nil {
		t.Errorf("got %+v, want nobody", c)
	}
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"cookie": 0}, "properties": map[string]any{"soft": true}})
	if c := s.exportOne(t, map[string]any{"cookie": "0"}); c == nil {
		t.Error("0 is a soft identifier as any other")
	}
	file := filepath.Join(filepath.Dir(s.config), "rows.csv")
	if err := os.WriteFile(file, []byte("customer_ids.registered,customer_ids.cookie,properties.p\nnull,c-1,1\nundefined,,1\n-,c-2,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := s.run(t, 1, "import", "-q", file); !strings.Contains(said, "refused: 1.") || !strings.Contains(said, "left out: 3.") {
		t.Errorf("import: got %s", said)
	}
	s.log.private("c-0")
	_, metrics := get(t, s.ops, "/metrics")
	for _, want := range []string{
		`trackway_identifiers_left_out_total{identifier="cookie",project="demo",why="listed"} `,
		`trackway_identifiers_left_out_total{identifier="registered",project="demo",why="empty"} `,
	} {
		if !strings.Contains(string(metrics), "\n"+want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestOwnNobody: a project's own list replaces the usual one.
func TestOwnNobody(t *testing.T) {
	t.Parallel()
	config := strings.Replace(baseConfig, "soft: [cookie]}", `soft: [cookie], nobody: [anonymous, "-1"]}`, 1)
	s := start(t, config+wideLimits)
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "Anonymous", "cookie": "c"}})
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": -1, "cookie": "c"}})
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": nil, "cookie": "c"}})
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "nil"}})
	if c := s.exportOne(t, map[string]any{"registered": "nil"}); c == nil || c.IDs["cookie"] != nil {
		t.Errorf("got %+v, want a customer called nil", c)
	}
	if c := s.exportOne(t, map[string]any{"cookie": "c"}); c == nil || c.IDs["registered"] != nil {
		t.Errorf("got %+v, want no name", c)
	}
}

// TestTrimmed: white space around an identifier does not matter in commands,
// reads, searches, imports and erasures.
func TestTrimmed(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	dir := filepath.Dir(s.config)
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "\u00a0a@b.example \n"}, "properties": map[string]any{"single": 1}})
	s.batch(t, []command{{"customers", encode(t, map[string]any{"customer_ids": map[string]any{"registered": "a@b.example\u3000", "cookie": []string{" c", "c "}}, "properties": map[string]any{"batch": 1}})}})
	for name, text := range map[string]string{
		"a.ndjson": `{"name":"customers","data":{"customer_ids":{"registered":" a@b.example"},"properties":{"ndjson":1}}}` + "\n",
		"b.csv":    "id,seen\n a@b.example ,1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, 0, "import", "-q", "a.ndjson")
	s.run(t, 0, "import", "-q", "--map", "customer_ids.registered=id", "--map", "properties.csv=seen", "b.csv")
	c := s.exportOne(t, map[string]any{"registered": "a@b.example"})
	want := map[string]any{"single": 1.0, "batch": 1.0, "ndjson": 1.0, "csv": 1.0}
	if c == nil || cmp.Diff(want, c.Properties) != "" || cmp.Diff(map[string]any{"registered": "a@b.example", "cookie": []any{"c"}}, c.IDs) != "" {
		t.Fatalf("got %+v, want one customer", c)
	}
	for _, path := range []string{
		"customers/registered=%20a@b.example%0a", "customers?q=+a@b", "customers?q=a@b.example+", "customers?q=registered=+a@b.example+",
	} {
		res := s.do(t, request{path: "/api/projects/{token}/" + path})
		if res.status != http.StatusOK || !strings.Contains(string(res.body), `"a@b.example"`) {
			t.Errorf("%s: got %v", path, res)
		}
	}
	if res := s.do(t, request{path: "/api/projects/{token}/customers/registered=undefined"}); res.status != http.StatusBadRequest {
		t.Errorf("a customer called undefined: got %v", res)
	}
	res := s.do(t, request{path: "/data/v2/projects/{token}/customers/anonymize", body: []byte(`{"customer_ids":{"cookie":" c "}}`)})
	if !res.success() {
		t.Errorf("anonymize: got %v", res)
	}
	if c := s.exportOne(t, map[string]any{"registered": "a@b.example"}); c != nil {
		t.Errorf("got %+v after the erasure", c)
	}
}

// TestHalfPairs: two identifiers that differ only in a broken character do not
// become one. Commands and reads refuse both.
func TestHalfPairs(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	for _, id := range []string{`"anna\ud83d"`, `["anna\ude00x"]`, `"\ud83d\ud83d\ude00"`} {
		body := []byte(`{"customer_ids":{"cookie":` + id + `},"event_types":["e"],"event_type":"e"}`)
		for _, path := range []string{trackPath + "customers", trackPath + "customers/events", "/data/v2/projects/{token}/customers/export-one", "/data/v2/projects/{token}/customers/events"} {
			res := s.do(t, request{path: path, body: body})
			if res.status != http.StatusBadRequest || !strings.Contains(string(res.body), "customer_ids.cookie") || !strings.Contains(string(res.body), "surrogate") {
				t.Errorf("%s %s: got %v", path, body, res)
			}
		}
	}
	// The character itself, which is a whole pair, and the replacement
	// character are valid texts.
	for _, id := range []string{`"anna\ud83d\ude00"`, `"anna\ufffd"`} {
		if res := s.do(t, request{path: trackPath + "customers", body: []byte(`{"customer_ids":{"cookie":` + id + `}}`)}); !res.success() {
			t.Errorf("%s: got %v", id, res)
		}
	}
}

// TestFutureUpdate: if the time of an update is in the future, its time of
// receipt counts instead, through every interface. So the next update takes
// effect.
func TestFutureUpdate(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	file := filepath.Join(filepath.Dir(s.config), "future.ndjson")
	for name, time := range map[string]string{
		"update_timestamp": `"update_timestamp":7258118399`, "timestamp": `"timestamp":"2199-01-01T00:00:00Z"`, "age": `"age":-4000000000`,
	} {
		data := `{"customer_ids":{"registered":"u"},"properties":{"%s":"wrong clock"},` + time + `}`
		for way, send := range map[string]func(data string){
			"single": func(data string) { s.track(t, "customers", json.RawMessage(data)) },
			"batch":  func(data string) { s.batch(t, []command{{"customers", json.RawMessage(data)}}) },
			"import": func(data string) {
				if err := os.WriteFile(file, []byte(`{"name":"customers","data":`+data+"}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				s.run(t, 0, "import", "-q", "--again", file)
			},
		} {
			property := way + " " + name
			send(fmt.Sprintf(data, property))
			s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "u"}, "properties": map[string]any{property: "right"}})
			if c := s.exportOne(t, map[string]any{"registered": "u"}); c == nil || c.Properties[property] != "right" {
				t.Errorf("%s: got %+v", property, c)
			}
		}
	}
	// An older update still changes nothing, nor does one between two past
	// times.
	s.track(t, "customers", json.RawMessage(`{"customer_ids":{"registered":"u"},"properties":{"import age":"old"},"update_timestamp":5}`))
	if c := s.exportOne(t, map[string]any{"registered": "u"}); c.Properties["import age"] != "right" {
		t.Errorf("got %+v, want the newer", c.Properties)
	}
}

// TestManyNamedByMerge: a client's event of type merge can name only as many
// identifiers as a merge in this project can. The identifiers that it names are
// erased with the customer.
func TestManyNamedByMerge(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	cookies := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"former-%d"`, i)
		}
		return b.String()[min(1, n):]
	}
	merge := func(n int) []byte {
		return []byte(`{"customer_ids":{"registered":"r"},"event_type":"merge","timestamp":1,"properties":{"absorbed_ids":{"cookie":[` + cookies(n) + `]}}}`)
	}
	res := s.do(t, request{path: trackPath + "customers/events", auth: "public", body: merge(196)})
	if res.status != http.StatusBadRequest || !strings.Contains(string(res.body), "at most 195 identifiers") {
		t.Errorf("got %v", res)
	}
	if res := s.do(t, request{path: trackPath + "customers/events", auth: "public", body: merge(195)}); !res.success() {
		t.Fatalf("got %v", res)
	}
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"cookie": "former-194"}})
	res = s.do(t, request{path: "/data/v2/projects/{token}/customers/anonymize", body: []byte(`{"customer_ids":{"cookie":"former-194"}}`)})
	if !res.success() {
		t.Fatalf("got %v", res)
	}
	res = s.do(t, request{path: "/data/v2/projects/{token}/customers/export-one", body: []byte(`{"customer_ids":{"registered":"r"}}`)})
	if !res.success() || strings.Contains(string(res.body), "former-194") || !strings.Contains(string(res.body), "former-193") {
		t.Errorf("got %.300s…", res)
	}
}
