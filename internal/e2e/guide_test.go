package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway/internal/prereq"
)

// guideProject is the token of a project, and not the one in the contract.
const guideProject = "0b9e6f41-7d1f-4c52-a83a-1795d4e83a17"

// guideConfig is a project that takes all calls that the guide describes.
var guideConfig = strings.ReplaceAll(keyless.Replace(baseConfig), projectToken, guideProject)

// TestGuideExamples runs every example in the guide, in order, as a reader
// would: with the named variables set, and with nothing else changed. Nothing
// in an answer is refused.
func TestGuideExamples(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		prereq.Missing(t, prereq.Curl, err.Error())
	}
	s := start(t, guideConfig+wideLimits)
	_, page := get(t, s.public, "/about/api")
	examples := regexp.MustCompile(`(?s)<pre class="curl"><code>(.*?)</code></pre>\n(?:<pre><code>(.*?)</code></pre>)?`).FindAllSubmatch(page, -1)
	if len(examples) < 10 {
		t.Fatalf("got %d examples in\n%s", len(examples), page)
	}
	for _, example := range examples {
		line := html.UnescapeString(string(example[1]))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "sh", "-c", line+" --fail")
		cmd.Env = append(cmd.Environ(), "SERVER=http://"+s.public, "PROJECT="+guideProject, "TOKEN="+publicKey, "KEY="+privateID+":"+secretKey)
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s\n%v: %s", line, err, out)
		}
		var answer struct {
			Success                  *bool
			Rejected, PartialSuccess any // in the dialects of PostHog and OpenTelemetry
			Results                  []struct {
				Status  string // in that of old clients
				Success *bool
			}
		}
		if json.Unmarshal(out, &answer) != nil {
			continue // it is no JSON
		}
		good := (answer.Success == nil || *answer.Success) && answer.Rejected == nil && answer.PartialSuccess == nil
		for _, r := range answer.Results {
			read := strings.Contains(line, "$SERVER/data/") // an attribute or a customer may be missing
			good = good && r.Status != "error" && (read || r.Success == nil || *r.Success)
		}
		if !good {
			t.Errorf("%s\ngot %s, want success", line, out)
		}
		if got, want := members(out), members([]byte(html.UnescapeString(string(example[2])))); want != nil && !slices.Equal(got, want) {
			t.Errorf("%s\nis answered with the members %q, and in the guide with %q", line, got, want)
		}
	}
	if !strings.Contains(string(page), "SERVER=http://"+s.public) {
		t.Errorf("the guide does not say that the server is reached at %s", s.public)
	}
}

// members returns the names of an object's members, or nil if a text is no
// object.
func members(text []byte) []string {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object == nil {
		return nil
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

const (
	withLimits  = baseConfig + "limits:\n  - {name: track, paths: [/track/], limit: 6000, window: 60s}\n  - {name: api, paths: [/api/, /data/], limit: %d, window: 30s, per: ip+path}\n"
	withContact = "contact: {email: tracking@example.com}\n"
)

// published is what /api/limits says about the policy api.
type published struct {
	Limit int
	Since time.Time
}

func (s *server) published(t *testing.T) published {
	t.Helper()
	res := s.do(t, request{path: "/api/limits", header: from(bystander)})
	var limits struct {
		Policies []struct {
			Name string
			published
		}
	}
	if err := json.Unmarshal(res.body, &limits); err != nil {
		t.Fatalf("%v: %v", res, err)
	}
	for _, p := range limits.Policies {
		if p.Name == "api" {
			return p.published
		}
	}
	t.Fatalf("no policy api in %v", res)
	return published{}
}

// checkEverywhere checks that a limit is in force, and is published in the
// header fields, in /api/limits and in the guide.
func (s *server) checkEverywhere(t *testing.T, limit int) {
	t.Helper()
	res := s.do(t, request{path: "/api/status", header: from(flooder)})
	if got, want := res.header.Get("RateLimit-Policy"), fmt.Sprintf(`"api";q=%d;w=30`, limit); got != want {
		t.Errorf("fields: got %s, want %s", got, want)
	}
	if got := s.published(t); got.Limit != limit {
		t.Errorf("/api/limits: got %d, want %d", got.Limit, limit)
	}
	_, page := get(t, s.public, "/about/api")
	if want := fmt.Sprintf("<strong>%d calls in 30 seconds</strong>", limit); !strings.Contains(string(page), want) {
		t.Errorf("the guide does not say %q", want)
	}
	spent := 0
	for spent <= 40 {
		if res := s.do(t, request{path: "/api/srvlist", header: from(fmt.Sprintf("203.0.113.%d", 100+limit))}); res.status == http.StatusTooManyRequests {
			break
		}
		spent++
	}
	if spent != limit {
		t.Errorf("%d calls were admitted, want %d", spent, limit)
	}
}

// TestChangedLimitIsPublished: a reload changes the limit in force, the header
// fields, /api/limits and the guide together. The change is recorded. After a
// restart, the server still knows since when a limit applies.
func TestChangedLimitIsPublished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, fmt.Sprintf(withLimits, 20))
	s.checkEverywhere(t, 20)
	_, before := get(t, s.public, "/about/api")
	tag := s.do(t, request{path: "/api/limits", header: from(bystander)}).header.Get("Etag")
	if res := s.do(t, request{path: "/api/limits", header: with(from(bystander), "If-None-Match", tag)}); res.status != http.StatusNotModified {
		t.Errorf("got %v, want 304", res)
	}

	s.configure(t, fmt.Sprintf(withLimits, 10)+withContact+"overrides:\n  - {policy: api, address: 198.51.100.7, limit: 5}\n")
	s.reload(t, http.StatusOK, "reloaded")
	s.checkEverywhere(t, 10)
	if res := s.do(t, request{path: "/api/limits", header: with(from(bystander), "If-None-Match", tag)}); res.status != http.StatusOK {
		t.Errorf("got %v, want what is new", res)
	}
	_, after := get(t, s.public, "/about/api")
	if strings.Contains(string(before), "tracking@example.com") || !strings.Contains(string(after), "mailto:tracking@example.com") {
		t.Error("the contact did not come with the reload")
	}
	changed := s.published(t).Since
	changes := s.changes(t)
	want := []string{"override api address 198.51.100.7/32", "policy api ", "policy track ", "policy api "}
	if strings.Join(changes, "; ") != strings.Join(want, "; ") {
		t.Errorf("got %q, want %q", changes, want)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d", status)
	}

	again := launch(t, dir, "--config", filepath.Join(dir, "trackway.yaml"), "--data", filepath.Join(dir, "data"))
	again.awaitReady(t)
	if got := again.published(t); got.Limit != 10 || !got.Since.Equal(changed) {
		t.Errorf("after a restart: got %v, want 10 since %v", got, changed)
	}
	if got := again.changes(t); len(got) != len(want) {
		t.Errorf("the restart counted as a change: %q", got)
	}
}

func with(header map[string]string, name, value string) map[string]string {
	header[name] = value
	return header
}

// changes returns the changes of limits, newest first.
func (s *server) changes(t *testing.T) []string {
	t.Helper()
	res := s.do(t, request{path: "/api/limits/changes", header: from(bystander)})
	var page struct {
		Rows []struct{ What, Policy, For string }
	}
	if err := json.Unmarshal(res.body, &page); err != nil || res.status != http.StatusOK {
		t.Fatalf("%v: %v", res, err)
	}
	var lines []string
	for _, row := range page.Rows {
		if row.Policy == "api" || row.Policy == "track" {
			lines = append(lines, row.What+" "+row.Policy+" "+row.For)
		}
	}
	return lines
}

// TestFleet: servers know the states of the others.
func TestFleet(t *testing.T) {
	t.Parallel()
	other := start(t, strings.Replace(baseConfig, serverName, "e2e-2", 1))
	s := start(t, baseConfig+"servers:\n"+
		"  - {name: e2e-2, region: far, url: \"http://"+other.public+"\"}\n"+
		"  - {name: e2e-3, url: \"http://127.0.0.1:1\"}\n")
	states := func() string {
		res := s.do(t, request{path: "/api/servers", auth: "none"})
		var list struct {
			Servers []struct{ Name, Region, State string }
		}
		if err := json.Unmarshal(res.body, &list); err != nil {
			t.Fatalf("%v: %v", res, err)
		}
		found := map[string]string{}
		for _, server := range list.Servers {
			found[server.Name] = server.Region + " " + server.State
		}
		return fmt.Sprint(found)
	}
	// Servers ask each other for the first time at start. The limit allows few
	// calls, and each takes a while.
	want := "map[e2e-1:test up e2e-2:far up e2e-3: down]"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for got := states(); got != want; got = states() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}
