// Package traces is the section of the configuration that has spans recorded
// and sent to a collector of OpenTelemetry.
package traces

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
)

// Traces is the checked section. Without an endpoint, no spans are recorded.
type Traces struct {
	Endpoint string            // URL that takes spans
	Sample   float64           // share of the requests that are recorded, from 0 to 1
	Headers  map[string]string // of each export; may hold secrets
	Follow   []netip.Prefix    // callers that decide themselves whether a request is recorded
}

// Section is the section as it is written.
type Section struct {
	Endpoint string         `yaml:"endpoint"`
	Sample   scalar.Share   `yaml:"sample"`
	Headers  []Header       `yaml:"headers"`
	Follow   []netip.Prefix `yaml:"follow"`
}

// Header is a header field of each export. Its value has one of three forms.
type Header struct {
	Name      string          `yaml:"name"`
	Value     document.Hidden `yaml:"value"`
	ValueEnv  document.Hidden `yaml:"value_env"`
	ValueFile document.Hidden `yaml:"value_file"`
}

// usualSample is enough to see where time goes, and costs nothing that can be
// measured.
const usualSample = 0.01

// SetDefaults implements [document.Defaulter].
func (s *Section) SetDefaults() { *s = Section{Sample: usualSample} }

const (
	usualPath   = "/v1/traces" // OTLP over HTTP, section "Request"
	mostHeaders = 32
	mostName    = 128 // bytes
)

// own are the fields that the program sets.
var own = []string{"host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "user-agent", "te", "trailer", "upgrade", "expect"}

// Check checks the section and returns it without the headers. Their values may
// be elsewhere.
func (s *Section) Check(d *document.Doc) Traces {
	if s.Endpoint == "" && !d.Given(&s.Endpoint) {
		if slices.ContainsFunc([]any{&s.Sample, &s.Headers, &s.Follow}, d.Given) {
			d.Missing(s, "needs endpoint, the URL of a collector, such as http://127.0.0.1:4318")
		}
		return Traces{}
	}
	seen := make(map[string]any)
	if len(s.Headers) > mostHeaders {
		d.Report(&s.Headers, "must be at most %d header fields", mostHeaders)
	}
	for i := range s.Headers {
		h := &s.Headers[i]
		if h.Name == "" && !d.Given(&h.Name) {
			d.Missing(h, "needs a name")
			continue
		}
		if !isFieldName(h.Name) || slices.Contains(own, strings.ToLower(h.Name)) {
			d.Report(&h.Name, "must be the name of a header field that the server does not set itself, such as authorization")
		}
		h.Name = strings.ToLower(h.Name)
		document.Unique(d, seen, &h.Name)
	}
	return Traces{Endpoint: s.endpoint(d), Sample: float64(s.Sample), Follow: s.Follow}
}

// endpoint returns the URL that takes spans.
func (s *Section) endpoint(d *document.Doc) string {
	u, err := url.Parse(s.Endpoint)
	if strings.ContainsAny(s.Endpoint, "@?") {
		d.Conceal(&s.Endpoint) // it may have a password or a key
	}
	switch {
	case err == nil && u.User != nil:
		d.Report(&s.Endpoint, "must not have a user or password: put credentials into headers")
		return ""
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.RawQuery != "" || u.Fragment != "", !isPort(u.Port()):
		d.Report(&s.Endpoint, "must be the URL of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318")
		return ""
	}
	if u.Scheme == "http" && len(s.Headers) > 0 && !isLoopback(u.Hostname()) {
		d.Warn(&s.Endpoint, "has the headers sent in plain text: use https")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = usualPath
	}
	return u.String()
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// isFieldName reports whether s is a token (RFC 9110, section 5.6.2).
func isFieldName(s string) bool {
	return s != "" && len(s) <= mostName && strings.IndexFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}

// IsValue reports whether a text can be the value of a header field.
func IsValue(s string) bool {
	return strings.TrimSpace(s) == s && strings.IndexFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) < 0
}
