package e2e

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"trackway/internal/prereq"
)

// sdkHome is a directory with SDKs, and the prerequisite that they are.
type sdkHome struct{ dir, need string }

var (
	segmentHome = sdkHome{filepath.Join("testdata", "segment"), prereq.Segment}
	postHogHome = sdkHome{filepath.Join("testdata", "posthog"), prereq.PostHog}
	jsHome      = sdkHome{filepath.Join(root, "js"), prereq.Browsers}
	pythonHome  = sdkHome{filepath.Join(root, "python"), prereq.Python}
	goHome      = sdkHome{root, ""} // it is always there
)

// guideSnippets are the guide's programs, by their titles, and what runs them.
// Each tracks one purchase.
var guideSnippets = map[string]func(t *testing.T, s *server, code string){
	"A browser, with the package @trackway/sdk":                runInPage,
	"Node, with the package @trackway/sdk":                     jsHome.node("dist/node.js"),
	"Python, with the package trackway":                        pythonHome.python("python3"),
	"Go, with the package trackway/client":                     goHome.goProgram("context", "trackway/client"),
	"A browser, with the package @segment/analytics-next":      runInPage,
	"Node, with the package @segment/analytics-node":           segmentHome.node("node_modules/.installed"),
	"Python, with the package segment-analytics-python":        segmentHome.python(".venv/bin/python"),
	"Go, with the module github.com/segmentio/analytics-go/v3": segmentHome.goProgram("github.com/segmentio/analytics-go/v3"),
	"A browser, with the package posthog-js":                   runInPage,
	"Node, with the package posthog-node":                      postHogHome.node("node_modules/.installed"),
	"Python, with the package posthog":                         postHogHome.python(".venv/bin/python"),
	"Go, with the module github.com/posthog/posthog-go":        postHogHome.goProgram("github.com/posthog/posthog-go"),
	"Any SDK, by its environment":                              exportRecord,
	"A Collector":                                              sendAsCollector,
}

// TestSDKsInGuide runs each program in the guide as a reader would: with their
// own key and project in place of the guide's. The program's purchase is
// stored.
func TestSDKsInGuide(t *testing.T) {
	t.Parallel()
	for title := range start(t, baseConfig).snippets(t) {
		if guideSnippets[title] == nil {
			t.Errorf("no test runs the guide's program for %q", title)
		}
	}
	for title, run := range guideSnippets {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := start(t, guideConfig+wideLimits)
			s.log.private("jane@example.com")
			code := s.snippets(t)[title]
			code = strings.NewReplacer("your-public-key", publicKey, projectToken, guideProject).Replace(code)
			run(t, s, code)
			if got := s.purchases(t); got != 1 {
				t.Errorf("%d purchases are stored after\n%s", got, code)
			}
		})
	}
}

// snippets returns the guide's programs, by their titles.
func (s *server) snippets(t *testing.T) map[string]string {
	t.Helper()
	_, page := get(t, s.public, "/about/api")
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)<h3>([^<]*)</h3>\n<pre><code>(.*?)</code></pre>`).FindAllSubmatch(page, -1) {
		found[html.UnescapeString(string(m[1]))] = html.UnescapeString(string(m[2]))
	}
	return found
}

// runInPage opens a page with a program in a browser, and waits until the
// purchase is stored.
func runInPage(t *testing.T, s *server, code string) {
	t.Helper()
	// posthog-js is silent in a browser without a screen, which it takes for a
	// robot, unless it is told not to look.
	code = strings.Replace(code, "{ api_host:", "{ opt_out_useragent_filter: true, api_host:", 1)
	page := newSite(t, code)
	page.scripts = true // of PostHog, which the server has
	browse(t, prereq.Browsers, page.url+"/?server="+url.QueryEscape("http://"+s.public))
	awaitPatiently(t, func() bool { return s.purchases(t) > 0 })
}

// node returns a runner of modules, which finds packages in the directory. file
// shows that they are there.
func (h sdkHome) node(file string) func(*testing.T, *server, string) {
	return func(t *testing.T, _ *server, code string) {
		t.Helper()
		h.has(t, file)
		h.run(t, "node", "--input-type=module", "--eval", code)
	}
}

// python is node for Python.
func (h sdkHome) python(python string) func(*testing.T, *server, string) {
	return func(t *testing.T, _ *server, code string) {
		t.Helper()
		h.run(t, python, "-c", code)
	}
}

// goProgram returns a runner of the statements of a program that imports
// packages.
func (h sdkHome) goProgram(imports ...string) func(*testing.T, *server, string) {
	return func(t *testing.T, _ *server, code string) {
		t.Helper()
		h.run(t, h.build(t, "package main\nimport (\""+strings.Join(imports, "\"\n\"")+"\")\nfunc main() {\n"+code+"}\n"))
	}
}

// build builds a program with the modules of the directory, and returns the
// path of the binary.
func (h sdkHome) build(t *testing.T, program string) string {
	t.Helper()
	if h != goHome {
		h.dir = filepath.Join(h.dir, "go")
		h.has(t, ".installed")
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run(t, "go", "build", "-o", binary, source)
	return binary
}

// has ends the test unless a file of the directory is there.
func (h sdkHome) has(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(h.dir, file)); err != nil {
		prereq.Missing(t, h.need, "run `make test-clients`: "+err.Error())
	}
}

// run runs a program in the directory, to its end. A relative path is one
// within the directory.
func (h sdkHome) run(t *testing.T, program string, args ...string) {
	t.Helper()
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		h.has(t, program)
	} else if _, err := exec.LookPath(program); err != nil {
		prereq.Missing(t, h.need, err.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = h.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// purchases returns how many purchases are stored.
func (s *server) purchases(t *testing.T) (n int) {
	t.Helper()
	res := s.do(t, request{path: "/api/projects/" + guideProject + "/events?type=purchase"})
	var answer struct{ Rows []any }
	if err := json.Unmarshal(res.body, &answer); err != nil || res.status != http.StatusOK {
		t.Fatalf("got %v, %v", res, err)
	}
	return len(answer.Rows)
}

// exportRecord runs a program with an exporter of OpenTelemetry that finds its
// settings in the environment, after a shell has carried out the snippet.
func exportRecord(t *testing.T, _ *server, code string) {
	t.Helper()
	const program = `package main

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

func main() {
	ctx := context.Background()
	exporter, err := otlploghttp.New(ctx)
	if err != nil {
		panic(err)
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter)))
	var r log.Record
	r.SetEventName("purchase")
	r.AddAttributes(attribute.String("user.id", "jane@example.com"), attribute.Float64("total", 7.99))
	provider.Logger("shop").Emit(ctx, r)
	if err := provider.Shutdown(ctx); err != nil {
		panic(err)
	}
}
`
	postHogHome.run(t, "sh", "-c", code+`exec "$0"`, postHogHome.build(t, program))
}

// sendAsCollector sends a record as a Collector with these settings would.
func sendAsCollector(t *testing.T, s *server, code string) {
	t.Helper()
	settings := regexp.MustCompile(`logs_endpoint: http://([^/]+)(/\S+)\n\s+headers: {Authorization: "(.+)"}`).FindStringSubmatch(code)
	if settings == nil || settings[1] != s.public {
		t.Fatalf("got %q", settings)
	}
	const record = `{"eventName": "purchase", "attributes": [{"key": "user.id", "value": {"stringValue": "jane@example.com"}}]}`
	res := s.do(t, request{
		path: settings[2], auth: "none", header: map[string]string{"Authorization": settings[3]},
		body: []byte(`{"resourceLogs": [{"scopeLogs": [{"logRecords": [` + record + `]}]}]}`),
	})
	if res.status != http.StatusOK || string(res.body) != "{}" {
		t.Errorf("got %v", res)
	}
}
