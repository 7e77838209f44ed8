package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
	"trackway/internal/sleep"
	"trackway/openapi"
)

// The files that watch a server.
const (
	rulesFile     = root + "/packaging/prometheus/rules.yaml"
	dashboardFile = root + "/packaging/grafana/trackway.json"
)

// busy starts a server whose every metric has a value: it has a destination
// that fails once and rejects a message, refuses calls and leaves identifiers
// out.
func busy(t *testing.T) *server {
	t.Helper()
	var failed atomic.Bool
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a part fits no case
		switch {
		case bytes.Contains(body, []byte(`"unfit"`)):
			w.WriteHeader(http.StatusUnprocessableEntity)
		case bytes.Contains(body, []byte(`"event.stored"`)) && failed.CompareAndSwap(false, true):
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(hook.Close)
	s := start(t, baseConfig+`
limits:
  - {name: track, paths: [/track/], limit: 4000000, window: 60s, per: ip}
  - {name: rare, paths: [/api/servers], limit: 1, window: 60s, per: ip}
destinations:
  - {name: hook, kind: webhook, url: "`+hook.URL+`", secret: "whsec_c2VjcmV0LW9mLXRoZS1ob29rLWluLXRlc3Rz", allow: [127.0.0.1], batch: {every: 100ms}}
`)
	s.log.mayHold("destination")
	for _, name := range []string{"fit", "unfit"} {
		s.track(t, "customers/events", map[string]any{"customer_ids": map[string]any{"registered": "jane", "cookie": "null"}, "event_type": name})
	}
	for range 2 {
		s.do(t, request{path: "/api/servers", auth: "none"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(ctx, t, func() bool {
		_, text := get(t, s.ops, "/metrics")
		return bytes.Contains(text, []byte("trackway_destination_rejected_rows_total{")) && bytes.Contains(text, []byte("trackway_destination_retries_total{"))
	})
	return s
}

// ordering starts a server that orders its certificates from an authority that
// does not answer.
func ordering(t *testing.T) *server {
	t.Helper()
	s := startFor(t, t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", &authority{directory: "https://127.0.0.1:1/dir"})
	s.log.mayHold("no certificate from the authority")
	return s
}

// labelsOf adds the series in a text to those known, each with the names of its
// labels.
func labelsOf(t *testing.T, text []byte, known map[string]map[string]bool) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			names := []string{name}
			labels := map[string]bool{"job": true, "instance": true}
			if m.GetHistogram() != nil {
				names = []string{name + "_bucket", name + "_sum", name + "_count"}
				labels["le"] = true
			}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
			for _, n := range names {
				known[n] = labels
			}
		}
	}
}

// expression is a query in a file.
type expression struct{ where, query string }

// alerts returns the expressions of the alerts, and their names.
func alerts(t *testing.T) (all []expression) {
	t.Helper()
	name := ""
	for line := range strings.Lines(string(mustRead(t, rulesFile))) {
		line = strings.TrimSpace(line)
		if after, ok := strings.CutPrefix(line, "- alert: "); ok {
			name = after
		}
		if quoted, ok := strings.CutPrefix(line, "expr: '"); ok {
			all = append(all, expression{name, strings.ReplaceAll(strings.TrimSuffix(quoted, "'"), "''", "'")})
		}
	}
	return all
}

// panels returns the queries of the dashboard, with its variables replaced.
func panels(t *testing.T) (all []expression) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(mustRead(t, dashboardFile), &dashboard); err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer("$job", "trackway", "$instance", ".*", "$__rate_interval", "1m")
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, expression{p.Title, replace.Replace(target.Expr)})
		}
	}
	return all
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	selectors = regexp.MustCompile(`\b([a-z][a-z0-9_]*)\{([^}]*)\}`)
	matchers  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"[^"]*"`)
	grouping  = regexp.MustCompile(`\b(?:by|ignoring|on|without)\s*\(([^)]*)\)`)
	metrics   = regexp.MustCompile(`\b(?:trackway|process|go)_[a-z0-9_]+\b`)
	literals  = regexp.MustCompile(`"[^"]*"`)
)

// unknown returns what a query asks for and no server has.
func unknown(query string, known map[string]map[string]bool) (lacking []string) {
	all := map[string]bool{"job": true, "instance": true, "le": true}
	for _, selector := range selectors.FindAllStringSubmatch(query, -1) {
		labels, ok := known[selector[1]]
		if !ok {
			lacking = append(lacking, selector[1])
		}
		maps.Copy(all, labels)
		for _, m := range matchers.FindAllStringSubmatch(selector[2], -1) {
			if ok && !labels[m[1]] {
				lacking = append(lacking, selector[1]+"{"+m[1]+"}")
			}
		}
	}
	for _, group := range grouping.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(group[1], ",") {
			if label = strings.TrimSpace(label); !all[label] {
				lacking = append(lacking, "label "+label)
			}
		}
	}
	for _, name := range metrics.FindAllString(literals.ReplaceAllString(query, ""), -1) {
		if known[name] == nil {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	known := map[string]map[string]bool{"trackway_a": {"job": true, "policy": true}}
	for query, want := range map[string]string{
		`sum by (policy) (trackway_a{policy=~"x|y"})`: "",
		`trackway_b > 0`:                        "trackway_b",
		`trackway_b{job="x"}`:                   "trackway_b trackway_b",
		`trackway_a{kind="trackway_c"}`:         "trackway_a{kind}",
		`sum by (job, kind) (trackway_a{})`:     "label kind",
		`trackway_a{job="x"} / go_goroutines{}`: "go_goroutines go_goroutines",
	} {
		if got := strings.Join(unknown(query, known), " "); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

// Every alert and every panel asks for metrics and labels that a server has,
// and every alert has its section in the runbook.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	known := map[string]map[string]bool{"up": {"job": true, "instance": true}}
	rules, board := alerts(t), panels(t)
	if len(rules) < 10 || len(board) < 10 {
		t.Fatalf("found %d alerts and %d panels", len(rules), len(board))
	}
	servers := []*server{busy(t), ordering(t), newCluster(t, 2).servers[0]}
	var lacking []string
	for end := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) { // some metrics come later
		for _, s := range servers {
			_, text := get(t, s.ops, "/metrics")
			labelsOf(t, text, known)
		}
		lacking = nil
		for _, e := range slices.Concat(rules, board) {
			if names := unknown(e.query, known); len(names) > 0 {
				lacking = append(lacking, fmt.Sprintf("%s: no server has %s:\n%s", e.where, strings.Join(names, ", "), e.query))
			}
		}
		if len(lacking) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, text := range lacking {
		t.Error(text)
	}
	runbook, text := string(mustRead(t, root+"/docs/runbook.md")), mustRead(t, rulesFile)
	for _, e := range rules {
		if !strings.Contains(runbook, "\n### "+e.where+"\n") {
			t.Errorf("the runbook has no section %s", e.where)
		}
		if !bytes.Contains(text, []byte("runbook: docs/runbook.md#"+strings.ToLower(e.where)+"\n")) {
			t.Errorf("%s does not name its section of the runbook", e.where)
		}
	}
}

// The queries about calls that write take those of all dialects, and no others.
func TestRoutesOfQueries(t *testing.T) {
	t.Parallel()
	contract, err := openapi.Parse()
	if err != nil {
		t.Fatal(err)
	}
	writes := regexp.MustCompile(`^/(track|crm)/|^/(batch|bulk|v1/logs)$`) // of the groups that hold other routes, too
	selected := regexp.MustCompile(`method="POST", route=~"([^"]*)"`)
	checked := 0
	for _, e := range slices.Concat(alerts(t), panels(t)) {
		if !strings.Contains(e.query, "route=") {
			continue
		}
		checked++
		match := selected.FindStringSubmatch(e.query)
		if match == nil {
			t.Fatalf("%s does not select the calls that write:\n%s", e.where, e.query)
		}
		pattern := regexp.MustCompile("^(?:" + match[1] + ")$") // as Prometheus does
		for _, g := range contract.Groups {
			for _, r := range g.Routes {
				want := r.Method == http.MethodPost && (g.Name == "Segment" || writes.MatchString(r.Path))
				if got := r.Method == http.MethodPost && pattern.MatchString(r.Path); got != want {
					t.Errorf("%s: %s %s: got %t, want %t", e.where, r.Method, r.Path, got, want)
				}
			}
		}
	}
	if checked != 4 {
		t.Errorf("checked %d queries, want 4", checked)
	}
}

// promtool tests the alerts: each rings when it should, and none on a good day.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool := prometheus(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = filepath.Dir(rulesFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tested := string(mustRead(t, filepath.Join(filepath.Dir(rulesFile), "rules_test.yaml")))
	for _, e := range alerts(t) {
		if !strings.Contains(tested, `alertname="`+e.where+`"`) {
			t.Errorf("no test makes %s ring", e.where)
		}
	}
}

// prometheus returns the path of one of Prometheus's programs.
func prometheus(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{root + "/tools/prometheus/" + program, program} {
		if path, err := exec.LookPath(name); err == nil {
			path, err = filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	prereq.Missing(t, prereq.Prometheus, "neither tools/prometheus nor PATH has "+program)
	return ""
}

// A real Prometheus scrapes a real server, and has an answer to every query of
// the dashboard.
func TestPanels(t *testing.T) {
	t.Parallel()
	program := prometheus(t, "prometheus")
	s, secure := busy(t), ordering(t)
	address, dir := porttest.Address(t), t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: trackway, static_configs: [{targets: [%q, %q]}]}]\n", s.ops, secure.ops)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var log bytes.Buffer
	asking := ""
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the last query was that of %s\n%s", asking, log.Bytes())
		}
	})
	for _, e := range panels(t) {
		var result string
		asking = e.where
		// The first rates need two scrapes.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		await(ctx, t, func() bool {
			result = queried(t, address, e.query)
			return result != "[]" && result != ""
		})
		cancel()
		if strings.HasPrefix(result, "error") {
			t.Errorf("%s: %s\n%s", e.where, result, e.query)
		}
	}
}

// queried returns what Prometheus answers to a query: a vector, an error, or
// nothing if Prometheus does not answer yet.
func queried(t *testing.T, address, query string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/query?query="+url.QueryEscape(query), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusServiceUnavailable {
		return "" // it is starting
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result json.RawMessage }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Status != "success" {
		return "error: " + cmp.Or(answer.Error, fmt.Sprint(err))
	}
	return string(answer.Data.Result)
}
