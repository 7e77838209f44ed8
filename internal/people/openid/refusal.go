package openid

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Reason says why the provider did not get somebody in.
type Reason string

// The reasons.
const (
	NoAccess    Reason = "no access"   // the account has no group with a role
	Unverified  Reason = "unverified"  // the provider has not verified the mail address
	Declined    Reason = "declined"    // the person, or the provider, did not agree
	Expired     Reason = "expired"     // this browser has not begun here, or too long ago
	Unreachable Reason = "unreachable" // the provider does not answer
	Invalid     Reason = "invalid"     // its answer is not good
	Busy        Reason = "busy"        // too many people sign in
)

// Refusal says why somebody could not sign in.
type Refusal struct { //nolint:errname // it is an answer to people, too
	Reason  Reason `json:"reason"`
	Account string `json:"account,omitempty"` // its name, if it is known
	Cause   error  `json:"-"`                 // for the log; without any secret, code or token; may be nil
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return string(r.Reason) + ": " + r.Cause.Error()
	}
	return string(r.Reason)
}

// Text returns what the person gets to read.
func (p *Provider) Text(r *Refusal) string {
	name := p.settings.Name
	switch r.Reason {
	case NoAccess:
		return "The account " + r.Account + " may not use this server: none of its groups has a role here. Ask the operator of this server."
	case Unverified:
		return "The account " + r.Account + " may not use this server: " + name + " has not verified its mail address."
	case Declined:
		return "The sign-in at " + name + " was declined."
	case Expired:
		base := strings.TrimSuffix(p.redirect, CallbackPath)
		return "The sign-in took too long, or began elsewhere. Begin again, at " + base + "/."
	case Unreachable:
		return name + " does not answer at the moment. Try again later, or sign in in another way."
	case Busy:
		return "Too many people sign in at the moment. Try again."
	case Invalid:
	}
	return "The sign-in at " + name + " failed. The log of this server says why."
}

// Seal returns the value of a cookie that says why somebody could not sign in,
// and that nobody else can make.
func (p *Provider) Seal(r *Refusal) string { return p.sealer.seal(forRefusal, r) }

// Open returns what [Provider.Seal] has sealed, or nil.
func (p *Provider) Open(cookie string) *Refusal {
	r := new(Refusal)
	if !p.sealer.open(forRefusal, cookie, r) {
		return nil
	}
	return r
}

// newClient returns a client that reaches a provider. It follows no redirect
// and reads little. It uses a proxy if the environment names one, as the
// operator chooses the provider. If the issuer is HTTPS, so is everything.
func newClient(issuer string) *http.Client {
	const idle = 2
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: bounded{
			&http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: idle, MaxConnsPerHost: mostAtOnce, IdleConnTimeout: rest},
			strings.HasPrefix(issuer, "http:"),
		},
	}
}

// bounded bounds answers.
type bounded struct {
	next  http.RoundTripper
	plain bool // http is permitted
}

var errPlain = errors.New("the URL is not https")

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	const most = 1 << 20
	if r.URL.Scheme != "https" && !b.plain {
		return nil, errPlain
	}
	w, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(w.Body, most), w.Body}
	return w, nil
}

// Good reports whether a URL can be that of a provider: https, or http on this
// machine.
func Good(u *url.URL) bool {
	return u.Hostname() != "" && u.User == nil && u.Fragment == "" && (u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()))
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// worded returns an error of the libraries without what must not be logged: the
// answer of a provider may quote a code or a secret.
func worded(err error) error {
	var answered *oauth2.RetrieveError
	var mismatch *oidc.IssuerMismatchError
	var expired *oidc.TokenExpiredError
	var failed *url.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &answered):
		status := 0
		if answered.Response != nil {
			status = answered.Response.StatusCode
		}
		return &answeredError{status, errorCode(answered.ErrorCode)}
	case errors.As(err, &mismatch):
		return fmt.Errorf("it calls itself %.200q, and not %q: the issuer must be written as there", mismatch.Discovered, mismatch.Provided)
	case errors.As(err, &expired):
		return fmt.Errorf("it has expired at %v: are the clocks right?", expired.Expiry)
	case errors.As(err, &dns):
		return errors.New("the host name cannot be resolved")
	case errors.As(err, &failed):
		return failed.Err // without the URL
	}
	for part, text := range map[string]string{
		"failed to verify signature": "its signature is not by the provider's keys, or these cannot be read",
		"expected audience":          "it is for another client",
		"issued by a different":      "it is of another issuer",
		"nbf":                        "it does not hold yet: are the clocks right?",
		"malformed jwt":              "it is not signed as it has to be",
		"failed to decode":           "its description is not valid",
	} {
		if strings.Contains(err.Error(), part) {
			return errors.New(text)
		}
	}
	for status := http.StatusMultipleChoices; status < 600; status++ {
		if strings.HasPrefix(err.Error(), fmt.Sprintf("%d ", status)) {
			return fmt.Errorf("it answered with status %d", status)
		}
	}
	return errors.New("the answer is not as it has to be")
}

// answeredError is a refusal by the token endpoint.
type answeredError struct {
	status int
	code   string
}

func (e *answeredError) Error() string {
	return fmt.Sprintf("the provider answered with status %d and the error %s", e.status, e.code)
}

// errorCode returns the code of an error of a provider if it is one that
// standards know. Others may be any text.
func errorCode(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
		"interaction_required", "login_required", "account_selection_required", "consent_required":
		return code
	}
	return "that no standard knows"
}
