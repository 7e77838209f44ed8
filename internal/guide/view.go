package guide

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/openapi"
)

// view is the data of the templates.
type view struct {
	*openapi.Document

	Style         template.CSS
	Server        Server
	Servers       []Server // all, this one first
	Contact       Contact
	RedirectHosts []string
	Groups        []group
	Policies      []policy
	Free          []string
	Errors        []failure
	Refusal       refusal
	Shared        bool // some policy counts the calls of several servers

	ExampleKey, ExampleProject string
}

type group struct {
	openapi.Group

	Anchor   string
	Snippets []openapi.Snippet // with this server's address
	Project  bool              // they name a project
	Routes   []route
}

// route is a route with an example call and its limits.
type route struct {
	openapi.Route

	Anchor string
	Fields []openapi.Field // of the path, the query, and the body
	Keys   string          // which keys it needs; empty if it needs none
	Curl   string
	Status string // of the good answer
	Good   string // its body, over several lines
	Errors []failure
	Rates  []rate
	Free   bool
}

// failure is an error answer.
type failure struct {
	openapi.Answer

	Anchor string // in the list of all
}

// rate is a policy that counts a route's calls.
type rate struct {
	Name      string
	Text      string
	Scope     string
	Sometimes bool // counts only some paths of the route
}

type policy struct {
	Name      string
	Paths     []string
	Rate      string
	By        string
	Scope     string // which servers count together
	Detail    []string
	Overrides int
	Since     time.Time
}

// refusal is an example of a call over the limit of a policy in force.
type refusal struct {
	Policy        string
	Limit, Window string
	Wait          string // seconds
	Body          string
}

func newView(contract *openapi.Document, f *Facts) *view {
	style, err := files.ReadFile("style.css")
	if err != nil {
		panic("bug: " + err.Error()) // it is in the binary
	}
	v := &view{
		Document: contract, Style: template.CSS(style), //nolint:gosec // G203: our own file
		Server: f.Server, Servers: append([]Server{f.Server}, f.Others...), Contact: f.Contact, RedirectHosts: f.RedirectHosts, Free: free,
		ExampleKey: exampleKey, ExampleProject: exampleProject,
	}
	for _, p := range f.Limits.Policies() {
		if p.Mode != trackway.Off {
			v.Policies = append(v.Policies, policyView(&p, f))
			v.Shared = v.Shared || f.sharers(&p) > 0
		}
	}
	for _, g := range contract.Groups {
		shown := group{Group: g, Anchor: strings.ToLower(g.Name)}
		for _, s := range g.Snippets {
			s.Code = strings.NewReplacer("$SERVER", f.Server.URL, "$PROJECT", exampleProject, "$TOKEN", exampleKey).Replace(s.Code)
			shown.Project = shown.Project || strings.Contains(s.Code, exampleProject)
			shown.Snippets = append(shown.Snippets, s)
		}
		for i := range g.Routes {
			shown.Routes = append(shown.Routes, v.route(&g.Routes[i], f))
		}
		v.Groups = append(v.Groups, shown)
	}
	v.Refusal = newRefusal(f.Limits.Policies())
	return v
}

func (v *view) route(r *openapi.Route, f *Facts) route {
	out := route{
		Route: *r, Anchor: "route-" + r.ID, Keys: keysOf(r), Curl: curl(r), Free: slices.Contains(f.Free, r.Path),
		Fields: slices.Concat(r.Parameters, r.Body),
	}
	for _, a := range r.Answers {
		switch a.Status[0] {
		case '2':
			out.Status, out.Good = a.Status, spread(a.Example)
		case '4', '5':
			out.Errors = append(out.Errors, v.failure(a))
		}
	}
	if out.Free {
		return out
	}
	always, sometimes := f.Limits.Governing(r.Method, r.Path)
	for i := range always {
		out.Rates = append(out.Rates, newRate(&always[i], f, false))
	}
	for i := range sometimes {
		out.Rates = append(out.Rates, newRate(&sometimes[i], f, true))
	}
	return out
}

func newRate(p *trackway.Policy, f *Facts, sometimes bool) rate {
	return rate{p.Name, rateOf(p) + ", counted by " + by(p.Per), scope(f.sharers(p)), sometimes}
}

// scope says which servers count together.
func scope(sharers int) string {
	if sharers == 0 {
		return "per server"
	}
	return fmt.Sprintf("shared by %d %s", sharers, plural(uint32(sharers), "server"))
}

// failure returns an answer with its anchor in the list of all errors, and adds
// it to the list if it is new.
func (v *view) failure(a openapi.Answer) failure {
	same := func(known failure) bool { return known.Status == a.Status && known.Description == a.Description }
	if i := slices.IndexFunc(v.Errors, same); i >= 0 {
		return v.Errors[i]
	}
	next := failure{a, fmt.Sprintf("error-%s-%d", a.Status, len(v.Errors))}
	i, _ := slices.BinarySearchFunc(v.Errors, a.Status+"z", func(f failure, status string) int { return strings.Compare(f.Status, status) })
	v.Errors = slices.Insert(v.Errors, i, next)
	return next
}

func keysOf(r *openapi.Route) string {
	keys := "a private key"
	switch {
	case len(r.Keys) == 0:
		return ""
	case slices.Contains(r.Keys, "publicKey"):
		keys = "a public or a private key"
	case slices.Contains(r.Keys, "writeKey"), slices.Contains(r.Keys, "bearerKey"):
		keys = "a public key"
	}
	if r.Permission != "" {
		keys += " with the permission " + r.Permission
	}
	if r.KeyOptional {
		keys += ", unless the stream_id admits the call without one"
	}
	return keys
}

// The contract's examples have these in place of the reader's own project and
// key. The guide shows variables of a shell instead, or the key as it is.
const (
	exampleProject = "12345678-1234-1234-1234-123456789abc"
	exampleKey     = "your-public-key"
)

// curl returns a command that works once the guide's variables are set.
func curl(r *openapi.Route) string {
	path := r.Path
	query := url.Values{}
	for _, p := range r.Parameters {
		switch {
		case p.Example == "":
		case p.In == "query":
			query.Set(p.Name, p.Example)
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(p.Example))
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	path = strings.NewReplacer(exampleProject, "$PROJECT", exampleKey, "$TOKEN").Replace(path)
	lines := []string{`curl -sS "$SERVER` + path + `"`}
	switch {
	case slices.Contains(r.Keys, "publicKey"):
		lines = append(lines, `-H "Authorization: Token $TOKEN"`)
	case strings.Contains(r.Example, exampleKey): // the body has the key
	case slices.Contains(r.Keys, "writeKey"):
		lines = append(lines, `-u "$TOKEN:"`)
	case slices.Contains(r.Keys, "bearerKey"):
		lines = append(lines, `-H "Authorization: Bearer $TOKEN"`)
	case len(r.Keys) > 0:
		lines = append(lines, `-u "$KEY"`)
	}
	if r.Example != "" {
		// A shell knows no variables between single quotes.
		body := strings.NewReplacer(`'`, `'\''`, exampleProject, `'"$PROJECT"'`, exampleKey, `'"$TOKEN"'`).Replace(r.Example)
		lines = append(lines, `-H 'Content-Type: application/json'`, `-d '`+body+`'`)
	}
	return strings.Join(lines, " \\\n  ")
}

// spread writes JSON over several lines.
func spread(text string) string {
	var b bytes.Buffer
	if text == "" || json.Indent(&b, []byte(text), "", "  ") != nil {
		return text
	}
	return b.String()
}

func policyView(p *trackway.Policy, f *Facts) policy {
	return policy{
		Name: p.Name, Paths: p.Paths, Rate: rateOf(p), By: by(p.Per), Scope: scope(f.sharers(p)), Detail: detail(p, f.sharers(p)),
		Overrides: f.overrides(p.Name), Since: f.Since(p.Name).UTC(),
	}
}

func rateOf(p *trackway.Policy) string {
	return number(p.Limit) + " " + plural(p.Limit, "call") + " in " + seconds(p.Window)
}

func seconds(d time.Duration) string {
	n := uint32(d / time.Second)
	return number(n) + " " + plural(n, "second")
}

func plural(n uint32, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// number writes n with thin spaces between thousands, so that readers can
// distinguish 6000 from 60000.
func number(n uint32) string {
	text := strconv.FormatUint(uint64(n), 10)
	for i := len(text) - 3; i > 0 && len(text) > 4; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// by says what a policy counts by.
func by(per trackway.Per) string {
	switch per {
	case trackway.PerIPPath:
		return "address and route"
	case trackway.PerKey:
		return "key, or by address without a good key"
	case trackway.PerProj:
		return "project, or by address without a good key"
	}
	return "address"
}

// detail returns what else a caller should know about a policy.
func detail(p *trackway.Policy, sharers int) []string {
	var d []string
	switch p.Algorithm {
	case trackway.Sliding:
		d = append(d, "The window slides: calls of the previous window count less and less.")
	case trackway.GCRA:
		d = append(d, fmt.Sprintf("At most %s at once; the others are spread evenly over the window.", number(p.Burst)))
	default:
		d = append(d, "The window starts with your first call. Refused calls do not move it.")
	}
	if sharers > 0 {
		d = append(d, "All servers together admit this many calls and no more. While a server is down, they may admit its share less.")
	}
	if p.Also {
		d = append(d, "This policy counts in addition to the one with the longest matching path.")
	}
	if p.Mode == trackway.Report {
		d = append(d, "For now the server only counts, and refuses nothing.")
	}
	if p.Candidate > 0 {
		d = append(d, fmt.Sprintf("A limit of %s is on trial beside it, and refuses nothing.", number(p.Candidate)))
	}
	if p.IPv6Wide.Times > 0 {
		return append(d, fmt.Sprintf("An IPv6 address counts as its /%d. All addresses of a /%d together have %d times the limit.",
			p.IPv6Prefix, p.IPv6Wide.Prefix, p.IPv6Wide.Times))
	}
	return append(d, fmt.Sprintf("An IPv6 address counts as its /%d.", p.IPv6Prefix))
}

// newRefusal makes an example from the first policy, the one that a call meets
// first.
func newRefusal(policies []trackway.Policy) refusal {
	if len(policies) == 0 {
		return refusal{}
	}
	p := policies[0]
	n, w := strconv.FormatUint(uint64(p.Limit), 10), strconv.FormatInt(int64(p.Window/time.Second), 10)
	wait := strconv.FormatInt(max(1, int64(p.Window*2/5/time.Second)), 10)
	return refusal{
		Policy: p.Name, Limit: n, Window: w, Wait: wait,
		Body: `{"status":429,"error":"rate limit","message":"Too many requests. Limit to max ` + n + ` per ` + w +
			` seconds. Try again in ` + wait + ` seconds."}`,
	}
}
