package guide

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/limit"
	"trackway/openapi"
)

var since = time.Date(2026, 11, 21, 10, 30, 0, 0, time.FixedZone("", 3600))

var policies = []trackway.Policy{
	{Name: "track", Paths: []string{"/track/"}, Limit: 60000, Window: time.Minute, Per: trackway.PerIP, IPv6Wide: trackway.IPv6Wide{Prefix: 48, Times: 16}},
	{Name: "api", Paths: []string{"/api/", "/data/"}, Limit: 30, Window: 30 * time.Second, Per: trackway.PerIPPath, Candidate: 20},
	{Name: "keys", Paths: []string{"POST /data/"}, Limit: 9, Window: time.Second, Per: trackway.PerKey, Algorithm: trackway.Sliding, Mode: trackway.Report},
	{Name: "all", Paths: []string{"/"}, Limit: 1000, Window: time.Second, Per: trackway.PerProj, Algorithm: trackway.GCRA, Also: true, AllowBelowFloor: true},
	{Name: "one", Paths: []string{"/track/v2/projects/abc/"}, Limit: 8000, Window: time.Minute, Per: trackway.PerIP},
	{Name: "gone", Paths: []string{"/api/gone/"}, Limit: 1, Window: time.Second, Per: trackway.PerIP, Mode: trackway.Off},
}

func facts(t *testing.T) Facts {
	t.Helper()
	set, err := limit.NewSet(policies, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Facts{
		Server:        Server{Name: "ts1.eu", Region: "eu", URL: "https://ts1.example.com"},
		Others:        []Server{{Name: "ts2<us>", URL: "https://ts2.example.com"}},
		Contact:       Contact{Email: "tracking@example.com", URL: "https://example.com/support?a=1&b=2"},
		RedirectHosts: []string{"a.example.com", "b.example.com"},
		Limits:        set, Free: []string{"/", "/about/api", "/openapi.yaml"}, Since: func(string) time.Time { return since },
		Overrides: []trackway.Override{
			{Policy: "track", Address: netip.MustParsePrefix("198.51.100.0/24"), Limit: 1}, {Policy: "track", Project: "abc", Limit: 1},
		},
	}
}

func write(t *testing.T, f Facts) *Guide {
	t.Helper()
	g, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// text returns the page without its marks.
func text(page []byte) string {
	words := regexp.MustCompile(`<style>[^<]*</style>|<[^>]*>`).ReplaceAllString(string(page), " ")
	words = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">", "&#43;", "+").Replace(words)
	return strings.Join(strings.Fields(words), " ")
}

// The guide and the limits say which servers count together.
func TestSharedLimits(t *testing.T) {
	t.Parallel()
	f := facts(t)
	set, err := limit.NewSet([]trackway.Policy{
		{Name: "track", Paths: []string{"/track/"}, Limit: 6000, Window: time.Minute, Shared: true},
		{Name: "api", Paths: []string{"/api/"}, Limit: 30, Window: time.Minute},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Limits = set
	for sharers, want := range map[int][]string{
		0: {"Per server: each", "address, per server The window"},
		3: {"Shared or per server: the", "address, shared by 3 servers The window", "admit this many calls and no more", "counted by address, shared by 3 servers (policy track )"},
	} {
		f.Sharers = sharers
		g := write(t, f)
		for _, want := range want {
			if page := text(g.Page.Body); !strings.Contains(page, want) {
				t.Errorf("with %d servers, the guide does not say %q", sharers, want)
			}
		}
		said := fmt.Sprintf(`"servers":%d`, sharers)
		if got := string(g.Limits.Body); strings.Count(got, said) != min(sharers, 1) || strings.Count(got, `"shared":true`) != 1 {
			t.Errorf("got %s, want %s once", got, said)
		}
	}
}

func TestPageSaysWhatIs(t *testing.T) {
	t.Parallel()
	page := text(write(t, facts(t)).Page.Body)
	for _, want := range []string{
		"SERVER=https://ts1.example.com",
		"/track/ policy track 60 000 calls in 60 seconds address, per server The window starts with your first call",
		"An IPv6 address counts as its /64. All addresses of a /48 together have 16 times the limit. 2 callers or ranges have another limit. 21 November 2026, 09:30 UTC",
		"/api/ /data/ policy api 30 calls in 30 seconds address and route, per server",
		"A limit of 20 is on trial beside it, and refuses nothing.",
		"POST /data/ policy keys 9 calls in 1 second key, or by address without a good key, per server The window slides: calls of the previous window count less and less. For now the server only counts, and refuses nothing.",
		"policy all 1000 calls in 1 second project, or by address without a good key, per server At most 100 at once; the others are spread evenly over the window. This policy counts in addition to the one with the longest matching path.",
		"POST /track/v2/projects/{token}/batch",
		"60 000 calls in 60 seconds, counted by address, per server (policy track ) 1000 calls in 1 second, counted by project, or by address without a good key, per server (policy all ) For some paths: 8000 calls in 60 seconds, counted by address, per server (policy one )",
		`curl -sS "$SERVER/data/v2/projects/$PROJECT/customers/export-one" \ -u "$KEY" \ -H 'Content-Type: application/json' \ -d '{"customer_ids": {"registered": "jane@example.com"}}'`,
		`curl -sS "$SERVER/api/limits/changes?page=1&rows=20" \ -u "$KEY"`,
		`curl -sS "$SERVER/batch" \ -H 'Content-Type: application/json' \ -d '{"api_key": "'"$TOKEN"'",`,
		`curl -sS "$SERVER/v1/track" \ -u "$TOKEN:" \`,
		`curl -sS "$SERVER/v1/logs" \ -H "Authorization: Token $TOKEN" \`,
		`curl -sS "$SERVER/array/$TOKEN/config.js"`,
		`curl -sS "$SERVER/data/v2/streams/$PROJECT/consent/categories" \ -H "Authorization: Token $TOKEN"`,
		`"project_id": "'"$PROJECT"'",`,
		"Needs a public or a private key with the permission events:set, unless the stream_id admits the call without one.",
		"Replace your-public-key with the token of a public key. Nothing else has to change. A browser, with the package posthog-js",
		"Replace your-public-key with the token of a public key, and 12345678-1234-1234-1234-123456789abc with your project's token. Nothing",
		"GET /openapi.yaml No limit: this costs nothing.",
		"ts1.eu eu https://ts1.example.com ts2<us> none https://ts2.example.com",
		"Calls to a.example.com , b.example.com are redirected to a server that is up , chosen at random",
		"tracking@example.com , https://example.com/support?a=1&b=2 .",
		"413 The body, or an event in it, is too large.",
		"Needs a private key with the permission gdpr.",
		"Needs a public or a private key with the permission events:set.",
		"Needs a public or a private key.", // for the time
		`{"errors": {"code": 413, "description": "The body may have at most`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the guide does not say %q", want)
		}
	}
	for _, secret := range []string{"198.51.100", "policy gone", "project abc"} {
		if strings.Contains(page, secret) {
			t.Errorf("the guide says %q", secret)
		}
	}
}

// Without limits, others and a contact there is nothing to be said about them,
// and nothing is made up.
func TestPageSaysNothingThatIsNot(t *testing.T) {
	t.Parallel()
	set, err := limit.NewSet(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := write(t, Facts{Server: Server{Name: "ts1", URL: "http://127.0.0.1:8080"}, Limits: set})
	page := text(g.Page.Body)
	for _, want := range []string{"No limits are in force.", "No policy limits this route.", "has named nobody to ask"} {
		if !strings.Contains(page, want) {
			t.Errorf("the guide does not say %q", want)
		}
	}
	if strings.Contains(page, "429 Too Many Requests X-RateLimit") || strings.Contains(page, "mailto:") || strings.Contains(page, "are redirected") {
		t.Error("the guide has an example of what does not happen")
	}
	if !strings.Contains(string(g.Limits.Body), `"policies":[]`) {
		t.Errorf("got %s", g.Limits.Body)
	}
}

// Every route of the contract is in the guide, with its limits, an example and
// its errors.
func TestPageIsComplete(t *testing.T) {
	t.Parallel()
	contract, err := openapi.Parse()
	if err != nil {
		t.Fatal(err)
	}
	f := facts(t)
	v := newView(contract, &f)
	routes := 0
	for _, g := range v.Groups {
		for _, s := range g.Snippets {
			if strings.Contains(s.Code, "$") {
				t.Errorf("%s: a variable is left in\n%s", s.Title, s.Code)
			}
		}
		for _, r := range g.Routes {
			routes++
			if strings.Contains(r.Curl, exampleKey) || strings.Contains(r.Curl, exampleProject) {
				t.Errorf("%s: the reader has to change\n%s", r.ID, r.Curl)
			}
			if r.Free == (len(r.Rates) > 0) || r.Curl == "" || len(r.Errors) == 0 || r.Status != "200" {
				t.Errorf("%s: free %v, rates %v, curl %s, errors %v, status %s", r.ID, r.Free, r.Rates, r.Curl, r.Errors, r.Status)
			}
		}
	}
	if page := string(write(t, f).Page.Body); strings.Count(page, "<article") != routes || strings.Count(page, `<pre class="curl">`) != routes {
		t.Errorf("%d of %d routes are shown", strings.Count(page, "<article"), routes)
	}
	for i := 1; i < len(v.Errors); i++ {
		if v.Errors[i].Status < v.Errors[i-1].Status {
			t.Errorf("the errors are not in order: %s after %s", v.Errors[i].Status, v.Errors[i-1].Status)
		}
	}
}

// TestRefusalIsTheLimiters: the guide shows a refusal as the limiter sends it,
// but for the numbers of the moment.
func TestRefusalIsTheLimiters(t *testing.T) {
	t.Parallel()
	set, err := limit.NewSet(policies[1:2], nil)
	if err != nil {
		t.Fatal(err)
	}
	l, now := limit.New(set, 64), time.Now()
	call := &limit.Call{Method: "GET", Path: "/api/x", Addr: netip.MustParseAddr("203.0.113.1")}
	for range policies[1].Limit {
		l.Allow(now, call)
	}
	d := l.Allow(now.Add(18*time.Second), call)
	h := http.Header{}
	new(limit.Fields).Set(h, &d)
	h["X-RateLimit-Reset"] = []string{"1575391883"}
	f := facts(t)
	f.Limits = set
	page := text(write(t, f).Page.Body)
	for name, values := range h {
		if !strings.Contains(page, name+": "+values[0]) {
			t.Errorf("the guide does not show %s: %s", name, values[0])
		}
	}
	if body := string(d.AppendBody(nil)); !strings.Contains(page, body) {
		t.Errorf("the guide does not show %s", body)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var got struct {
		Server, Scope string
		Policies      []struct {
			Name      string
			Paths     []string
			Burst     int
			Overrides int
			Since     time.Time
		}
	}
	body := write(t, facts(t)).Limits.Body
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Server != "ts1.eu" || got.Scope != "server" || len(got.Policies) != len(policies) {
		t.Errorf("got %s", body)
	}
	for _, p := range got.Policies {
		want := map[string]int{"track": 2}[p.Name]
		if p.Overrides != want || !p.Since.Equal(since) || (p.Burst > 0) != (p.Name == "all") {
			t.Errorf("got %+v", p)
		}
	}
	if strings.Contains(string(body), "198.51.100") {
		t.Error("an address of a caller is published")
	}
}

// A document's tag changes with what it says, and with nothing else.
func TestETags(t *testing.T) {
	t.Parallel()
	a, b := write(t, facts(t)), write(t, facts(t))
	f := facts(t)
	set, err := limit.NewSet(policies[:2], nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Limits = set
	c := write(t, f)
	if a.Page.ETag != b.Page.ETag || a.Limits.ETag != b.Limits.ETag {
		t.Error("the same facts have two tags")
	}
	if a.Page.ETag == c.Page.ETag || a.Limits.ETag == c.Limits.ETag || a.Contract.ETag != c.Contract.ETag {
		t.Error("other limits have the same tag, or the same contract has another")
	}
}

// Nothing in a page is run or loaded, and the policy lets its own style sheet
// through.
func TestContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	g := write(t, facts(t))
	for _, d := range []Document{g.Page, g.Home} {
		style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindSubmatch(d.Body)
		if style == nil {
			t.Fatal("there is no style sheet")
		}
		sum := sha256.Sum256(style[1])
		if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(d.Policy, want) {
			t.Errorf("got %q, want %s", d.Policy, want)
		}
		if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|<form|\sstyle=|\son[a-z]+=|url\(|@import`).Find(d.Body); found != nil {
			t.Errorf("a page holds %s", found)
		}
	}
}

// The pages are well formed, their landmarks and headings in order, and their
// links lead somewhere.
func TestStructure(t *testing.T) {
	t.Parallel()
	g := write(t, facts(t))
	for _, d := range []Document{g.Page, g.Home} {
		body := strings.NewReplacer("<!doctype html>", "", "<br>", "<br/>").Replace(string(d.Body))
		body = regexp.MustCompile(`<meta ([^>]*)>`).ReplaceAllString(body, "<meta $1/>")
		decoder := xml.NewDecoder(strings.NewReader(body))
		decoder.Entity = xml.HTMLEntity
		ids, links, landmarks, level := map[string]bool{}, []string{}, map[string]int{}, 0
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			element, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			name := element.Name.Local
			landmarks[name]++
			if len(name) == 2 && name[0] == 'h' && name[1] >= '1' && name[1] <= '6' {
				if next := int(name[1] - '0'); next > level+1 {
					t.Errorf("h%d follows h%d", next, level)
				} else {
					level = next
				}
			}
			for _, a := range element.Attr {
				switch {
				case a.Name.Local == "id" && ids[a.Value]:
					t.Errorf("the id %s is there twice", a.Value)
				case a.Name.Local == "id":
					ids[a.Value] = true
				case (a.Name.Local == "href" || a.Name.Local == "aria-labelledby") && !strings.Contains(a.Value, ":") && !strings.HasPrefix(a.Value, "/"):
					links = append(links, strings.TrimPrefix(a.Value, "#"))
				}
			}
		}
		if landmarks["main"] != 1 || landmarks["header"] != 1 || landmarks["h1"] != 1 || landmarks["title"] != 1 {
			t.Errorf("got landmarks %v", landmarks)
		}
		for _, link := range links {
			if !ids[link] {
				t.Errorf("%q leads nowhere", link)
			}
		}
	}
}

// Text is readable on its ground, in light and in dark: at least 4.5 to 1 (WCAG
// 2.2, criterion 1.4.3).
func TestContrast(t *testing.T) {
	t.Parallel()
	style, err := files.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`:root \{[^}]*\}`).FindAllString(string(style), -1)
	if len(schemes) != 3 {
		t.Fatalf("got %d schemes, want light, dark and print", len(schemes))
	}
	for _, scheme := range schemes {
		color := func(name string) float64 {
			m := regexp.MustCompile(`--` + name + `: #([0-9a-f]{6});`).FindStringSubmatch(scheme)
			if m == nil {
				t.Fatalf("%s has no %s", scheme, name)
			}
			rgb, err := strconv.ParseUint(m[1], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return luminance(rgb)
		}
		for _, front := range []string{"text", "faint", "link", "mark"} {
			for _, ground := range []string{"back", "raised"} {
				a, b := color(front), color(ground)
				if ratio := (max(a, b) + .05) / (min(a, b) + .05); ratio < 4.5 {
					t.Errorf("%s on %s: %.2f to 1 in %s", front, ground, ratio, scheme)
				}
			}
		}
	}
}

// luminance is the relative luminance of a color (WCAG 2.2).
func luminance(rgb uint64) float64 {
	linear := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8) + 0.0722*linear(rgb)
}
