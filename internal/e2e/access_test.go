package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// key runs `trackway key` on the configuration of a running server, makes the
// server reload it, and returns the output.
func (s *server) key(t *testing.T, args ...string) string {
	t.Helper()
	args = append(append([]string{"key"}, args...), "--config", s.config, "--data", filepath.Join(filepath.Dir(s.config), "data"), "--reload", "--ops-listen", s.ops)
	out, err := exec.Command(binary(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// printed returns what a command printed after a name and a colon, and keeps it
// out of the log.
func (s *server) printed(t *testing.T, out, name string) string {
	t.Helper()
	for line := range strings.Lines(out) {
		if found, ok := strings.CutPrefix(strings.TrimSpace(line), name+": "); ok {
			s.log.private(found)
			return found
		}
	}
	t.Fatalf("got\n%s\nwant a line %s: …", out, name)
	return ""
}

// status returns the status of a call with this authorization.
func (s *server) status(t *testing.T, path, authorization string) int {
	t.Helper()
	send := request{path: path, auth: "none", header: map[string]string{"Authorization": authorization}}
	if strings.HasPrefix(path, "/data/") {
		send.body = []byte(`{"customer_ids": {"registered": "jane"}}`)
	}
	return s.do(t, send).status
}

// TestKeysOfARunningServer adds, rotates and revokes keys without a restart.
// Both secrets of a rotated key work, and a key may do what its permissions
// say.
func TestKeysOfARunningServer(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "jane"}, "properties": map[string]any{"first_name": "J", "age": 1}})
	const (
		one, time, usage = "/data/v2/projects/{token}/customers/export-one", "/track/v2/projects/{token}/system/time", "/api/projects/{token}/usage"
	)
	check := func(what, path, authorization string, want int) {
		t.Helper()
		if got := s.status(t, path, authorization); got != want {
			t.Errorf("%s, %s: got %d, want %d", what, path, got, want)
		}
	}

	out := s.key(t, "add", "jobs", "--kind", "private", "--permission", "customers:get:registered", "--permission", "customers:get:first_name")
	id := s.printed(t, out, "id")
	first := basic("Basic", id, s.printed(t, out, "secret"))
	check("a new key", one, first, 200)
	check("a new key", usage, first, 403)

	second := basic("Basic", id, s.printed(t, s.key(t, "rotate", "jobs"), "secret"))
	check("the new secret", one, second, 200)
	check("the old secret", one, first, 200)
	third := basic("Basic", id, s.printed(t, s.key(t, "rotate", "jobs", "--overlap", "0"), "secret"))
	check("a secret that was ended", one, second, 403)
	check("a secret that was before that", one, first, 403)
	check("the newest secret", one, third, 200)

	token := "Token " + s.printed(t, s.key(t, "rotate", "web"), "token")
	check("the new token", time, token, 200)
	check("the old token", time, "Token "+publicKey, 200)
	check("a token that tracks", one, token, 403)

	s.key(t, "revoke", "jobs")
	check("a revoked key", one, third, 401)
	s.key(t, "rotate", "backend", "--overlap", "1h")
	check("what was before, in the file", one, basic("Basic", privateID, secretKey), 200)
	check("what was before, in the file", usage, basic("Basic", privateID, secretKey), 200)
}

// TestExportFormats checks that all formats export the same customers, in any
// number of pieces.
func TestExportFormats(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	const n = 400
	note := strings.Repeat("x", 1000) + "\n\"é\", "
	var csv strings.Builder
	csv.WriteString("registered,cookie,note,number\r\n")
	for i := range n {
		ids := map[string]any{"registered": fmt.Sprint("c", i)}
		s.track(t, "customers", map[string]any{"customer_ids": ids, "properties": map[string]any{"note": note, "number": i}})
		fmt.Fprintf(&csv, "c%d,,\"%s\",%d\r\n", i, strings.ReplaceAll(note, `"`, `""`), i)
	}
	export := func(format string) response {
		res := s.do(t, request{path: "/data/v2/projects/{token}/customers/export", body: encode(t, map[string]any{"format": format})})
		if res.status != http.StatusOK {
			t.Fatalf("%s: got %.300v", format, res)
		}
		return res
	}
	if got := export("csv"); string(got.body) != csv.String() {
		t.Errorf("csv: got %.200s… (%d bytes), want %.200s… (%d bytes)", got.body, len(got.body), csv.String(), csv.Len())
	}
	for format, rows := range map[string]string{"table_json": "rows", "native_json": "data"} {
		got, err := export(format).json()
		if err != nil {
			t.Fatal(err)
		}
		table, _ := got.(map[string]any)[rows].([]any)
		if len(table) != n || fmt.Sprint(table[n-1]) != fmt.Sprint([]any{fmt.Sprint("c", n-1), nil, note, float64(n - 1)}) {
			t.Errorf("%s: got %d rows, the last of which is %.100v", format, len(table), table[len(table)-1])
		}
	}
}

// TestAnonymizeBulk checks that each customer is erased or reported as unknown,
// and that nobody finds the erased ones again.
func TestAnonymizeBulk(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	for _, id := range []string{"a", "b", "c"} {
		ids := map[string]any{"registered": id}
		s.track(t, "customers", map[string]any{"customer_ids": ids, "properties": map[string]any{"email": id + "@example.com"}})
	}
	body := []byte(`{"customers": [{"customer_ids": {"registered": "a"}}, {"customer_ids": {"registered": "nobody"}}, {"customer_ids": {"registered": "b"}},
		{"customer_ids": {"registered": "a"}}]}`)
	res := s.do(t, request{path: "/data/v2/projects/{token}/customers/anonymize_bulk", body: body})
	want := []bool{true, false, true, false} // true: erased
	got, err := res.json()
	results, _ := got.(map[string]any)["results"].([]any)
	if err != nil || len(results) != len(want) || res.status != http.StatusOK {
		t.Fatalf("got %v (%v), want %d results", res, err, len(want))
	}
	for i, result := range results {
		erased := result.(map[string]any)["success"] == true
		gone := string(encode(t, result)) == `{"errors":{"_global":["Customer does not exist"]},"success":false}`
		if erased != want[i] || gone == want[i] {
			t.Errorf("customer %d: got %v, want it erased: %t", i, result, want[i])
		}
	}
	for id, there := range map[string]bool{"a": false, "b": false, "c": true} {
		if c := s.exportOne(t, map[string]any{"registered": id}); (c != nil) != there {
			t.Errorf("%s: got %+v, want it to be there: %t", id, c, there)
		}
	}
}
