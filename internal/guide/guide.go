// Package guide writes what the server publishes about itself: the guide for
// people, the front page, and the limits for programs. It makes all of them
// from the contract (openapi) and the policies in force only, so that they
// cannot disagree with what the server does. The documents are immutable; a
// reload makes new ones. The package does not serve them.
package guide

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"time"

	"trackway"
	"trackway/internal/httpcache"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/openapi"
)

//go:embed guide.html home.html style.css
var files embed.FS

// Facts are what the guide is made from, in addition to the contract. All
// fields except Contact and RedirectHosts are required.
type Facts struct {
	Server        Server
	Others        []Server
	Contact       Contact
	RedirectHosts []string // may be empty
	Limits        *limit.Set
	Sharers       int      // servers that count together what is shared; 0: this server stands alone
	Free          []string // paths that no policy counts
	Overrides     []trackway.Override
	Since         func(policy string) time.Time // when a policy became what it is
}

// Server is one tracking server, as it is configured.
type Server struct {
	Name   string
	Region string // may be empty
	URL    string // where clients reach it, without a slash at its end
}

// Contact says how to ask for a higher limit or about missing data. Both fields
// may be empty.
type Contact struct {
	Email string
	URL   string
}

// Guide holds the documents. It is immutable and safe for concurrent use.
type Guide struct {
	Page     Document // the guide, HTML
	Home     Document // the front page, HTML
	Limits   Document // the policies in force, JSON
	Contract Document // openapi.yaml
}

// Document is a document that is served unchanged.
type Document struct {
	Type   string // media type
	ETag   string // strong, in quotes (RFC 9110 section 8.8.3)
	Policy string // Content-Security-Policy; empty if browsers do not show the document
	Body   []byte
}

// New makes the guide. It takes a few milliseconds. It returns an error if the
// contract cannot be parsed or a template fails.
func New(f Facts) (*Guide, error) {
	contract, err := openapi.Parse()
	if err != nil {
		return nil, err
	}
	limits, err := json.Marshal(limitsOf(&f))
	if err != nil {
		return nil, fmt.Errorf("write the limits: %w", err)
	}
	g := &Guide{
		Limits:   newDocument("application/json", "", limits),
		Contract: newDocument("application/yaml", "", openapi.Source()),
	}
	v := newView(contract, &f)
	if g.Page, err = render("guide.html", v); err != nil {
		return nil, err
	}
	g.Home, err = render("home.html", v)
	return g, err
}

func newDocument(media, policy string, body []byte) Document {
	return Document{Type: media, ETag: httpcache.ETag(body), Policy: policy, Body: body}
}

func render(name string, v *view) (Document, error) {
	t, err := template.ParseFS(files, name)
	if err != nil {
		return Document{}, err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, v); err != nil {
		return Document{}, fmt.Errorf("write the guide: %w", err)
	}
	// The page runs no scripts and loads nothing. Its only style sheet is
	// inline, and the policy names it by its digest.
	digest := sha256.Sum256([]byte(v.Style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return newDocument("text/html; charset=utf-8", policy, page.Bytes()), nil
}

// limits is the answer to /api/limits.
type limits struct {
	Server   string        `json:"server"`
	Scope    string        `json:"scope"` // "server": each server counts its own calls, except for shared policies
	Policies []policyLimit `json:"policies"`
	Fields   []string      `json:"fields"`
	Free     []string      `json:"free"`
}

type policyLimit struct {
	history.Policy

	Servers   int    `json:"servers,omitempty"` // that count together, if the policy is shared
	Overrides int    `json:"overrides"`
	Since     string `json:"since"` // RFC 3339
}

var (
	fields = []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"}
	free   = []string{
		"304 Not Modified, if the server knows the tag without making the answer. Each route says whether its 304 is free. If-None-Match: * costs a call",
		"preflights: OPTIONS with Access-Control-Request-Method, which browsers send before a page of another site may call. Any other OPTIONS costs a call",
		"/, /about/api and /openapi.yaml, and the files that the pages load from /assets/",
		"the ops listener: health and metrics",
	}
)

func limitsOf(f *Facts) limits {
	out := limits{Server: f.Server.Name, Scope: "server", Policies: []policyLimit{}, Fields: fields, Free: free}
	for _, p := range f.Limits.Policies() {
		out.Policies = append(out.Policies, policyLimit{
			Policy: history.PolicyOf(&p), Servers: f.sharers(&p), Overrides: f.overrides(p.Name), Since: f.Since(p.Name).UTC().Format(time.RFC3339),
		})
	}
	return out
}

// sharers returns how many servers count together under a policy; 0: each
// counts for itself.
func (f *Facts) sharers(p *trackway.Policy) int {
	if !p.Shared {
		return 0
	}
	return f.Sharers
}

// overrides returns the number of overrides of a policy. The callers that have
// them are not published.
func (f *Facts) overrides(policy string) int {
	n := 0
	for i := range f.Overrides {
		if f.Overrides[i].Policy == policy {
			n++
		}
	}
	return n
}
