// Package openid has a provider of OpenID Connect vouch for people who want to
// use the pages: the code flow, with PKCE. The provider's groups give roles.
//
// The package asks the provider only when somebody signs in, and never at the
// start of the server. It keeps nothing for those who have not signed in yet:
// what it has to know of them is in a cookie that only this process can read
// and make.
package openid

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"trackway/internal/people"
)

// CallbackPath is the path at which a browser comes back from the provider.
const CallbackPath = "/grid/oidc/callback"

// Settings say who vouches, and what roles the provider's groups have.
type Settings struct {
	Issuer       string // URL
	ClientID     string
	ClientSecret string // empty for a client without one
	Name         string // of the provider, for people
	Scopes       []string
	NameClaim    []string // of an account: the names of claims within each other; nil: the usual ones
	GroupsClaim  []string // of an account, in the same way
	Groups       []Group
}

// Group is a group of the provider. Its members have the roles.
type Group struct {
	Name  string
	Roles []string // as [people.User.Roles] returns them
}

// Bounds on the requests to a provider.
const (
	patience   = 5 * time.Second  // for one
	overall    = 10 * time.Second // for all those of a person
	mostAtOnce = 8                // people for whom the provider is asked
	fresh      = time.Hour        // time until its description is asked for again
	rest       = 5 * time.Second  // time without another attempt after one that failed
)

// Provider is a provider. It is safe for concurrent use.
type Provider struct {
	settings Settings
	redirect string // URL of CallbackPath
	terms    string
	sealer   sealer
	client   *http.Client
	places   chan struct{}

	turn chan struct{} // holds a token while nobody reads or writes the following
	known
}

// known is what a provider has said of itself.
type known struct {
	description *oidc.Provider // nil: nothing yet
	asked       time.Time
	failure     error // of the last attempt
}

// New returns a provider. It asks nothing. base is the URL at which browsers
// reach the pages, without a trailing slash.
func New(s Settings, base string) *Provider {
	p := &Provider{
		settings: s, redirect: base + CallbackPath, terms: s.terms(), sealer: newSealer(), client: newClient(s.Issuer),
		places: make(chan struct{}, mostAtOnce), turn: make(chan struct{}, 1),
	}
	p.turn <- struct{}{}
	return p
}

// terms returns a text that changes with what an account's name and roles
// depend on.
func (s *Settings) terms() string {
	of := *s
	of.ClientSecret, of.Name, of.Scopes = "", "", nil
	text, _ := json.Marshal(of) //nolint:gosec // G117: the secret was taken out; texts can always be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Is reports whether the provider has these settings.
func (p *Provider) Is(s Settings, base string) bool {
	return p != nil && p.redirect == base+CallbackPath && reflect.DeepEqual(p.settings, s)
}

// Name returns the provider's name for people.
func (p *Provider) Name() string { return p.settings.Name }

// Terms returns a text that changes with what accounts depend on (see
// [people.Account]). It is empty if there is no provider.
func (p *Provider) Terms() string {
	if p == nil {
		return ""
	}
	return p.terms
}

// Redirect returns the URL to which the provider sends browsers back.
func (p *Provider) Redirect() string { return p.redirect }

// Secure reports whether browsers reach the pages by HTTPS.
func (p *Provider) Secure() bool { return strings.HasPrefix(p.redirect, "https:") }

// describe returns the provider's description of itself. It is asked for if it
// is not known or old. An old one stays in use while the provider does not
// answer.
func (p *Provider) describe(ctx context.Context, now time.Time) (*oidc.Provider, error) {
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	since := now.Sub(p.asked)
	switch {
	case p.description != nil && p.failure == nil && since < fresh:
		return p.description, nil
	case p.failure != nil && since < rest:
		return p.description, p.unlessKnown()
	}
	found, err := p.discover(context.WithoutCancel(ctx)) // it is for everybody; the client has a time limit
	p.asked, p.failure = now, err
	if err == nil {
		p.description = found
	}
	return p.description, p.unlessKnown()
}

func (k *known) unlessKnown() error {
	if k.description != nil {
		return nil
	}
	return k.failure
}

func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.settings.Issuer)
	if err != nil {
		return nil, worded(err)
	}
	var also struct {
		Keys string `json:"jwks_uri"`
	}
	if err := found.Claims(&also); err != nil {
		return nil, errors.New("its description is not valid")
	}
	at := found.Endpoint()
	for _, text := range []string{at.AuthURL, at.TokenURL, also.Keys} {
		if u, err := url.Parse(text); err != nil || !Good(u) || u.Scheme != "https" && !strings.HasPrefix(p.settings.Issuer, "http:") {
			return nil, errors.New("its description lacks an endpoint, or has one that is not https")
		}
	}
	return found, nil
}

// flow returns the client of the code flow.
func (p *Provider) flow(of *oidc.Provider) *oauth2.Config {
	var announced struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	_ = of.Claims(&announced) // it was read before
	at := of.Endpoint()
	// Without an announcement, the style is Basic (OpenID Connect Discovery,
	// section 3). The library would find it out by failing once for everybody.
	at.AuthStyle = oauth2.AuthStyleInHeader
	if p.settings.ClientSecret == "" || slices.Contains(announced.Methods, "client_secret_post") {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.settings.ClientID, ClientSecret: p.settings.ClientSecret, Endpoint: at, RedirectURL: p.redirect, Scopes: p.settings.Scopes,
	}
}

// Begin begins to sign somebody in. It returns the URL to which the browser has
// to go, and the value of a cookie that it has to bring back. Both hold for
// [StateTime]. The error is a *[Refusal].
func (p *Provider) Begin(ctx context.Context, now time.Time) (to, cookie string, err error) {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return "", "", err
	}
	defer leave()
	described, err := p.describe(ctx, now)
	if err != nil {
		return "", "", &Refusal{Reason: Unreachable, Cause: fmt.Errorf("read the provider's description: %w", err)}
	}
	s := newState(now)
	to = p.flow(described).AuthCodeURL(s.State, oauth2.S256ChallengeOption(s.Verifier), oidc.Nonce(s.Nonce))
	return to, p.sealer.seal(forState, s), nil
}

// enter waits for a place. The caller ends it by leave.
func (p *Provider) enter(ctx context.Context) (bounded context.Context, leave func(), err error) {
	bounded, cancel := context.WithTimeoutCause(ctx, overall, errors.New("it takes too long"))
	select {
	case p.places <- struct{}{}:
		return bounded, func() { <-p.places; cancel() }, nil
	case <-bounded.Done():
		cancel()
		return nil, nil, &Refusal{Reason: Busy, Cause: context.Cause(bounded)}
	}
}

// Finish finds out who has come back from the provider, with the cookie of
// [Provider.Begin] and the parameters in the URL. The error is a *[Refusal].
func (p *Provider) Finish(ctx context.Context, cookie string, sent url.Values, now time.Time) (*people.User, error) {
	var s state
	if !p.sealer.open(forState, cookie, &s) || !s.holds(now) || !s.is(sent.Get("state")) {
		return nil, &Refusal{Reason: Expired}
	}
	if issuer := sent.Get("iss"); issuer != "" && issuer != p.settings.Issuer { // RFC 9207
		return nil, &Refusal{Reason: Invalid, Cause: errors.New("the answer is that of another issuer")}
	}
	if code := sent.Get("error"); code != "" {
		if code == "access_denied" {
			return nil, &Refusal{Reason: Declined}
		}
		return nil, &Refusal{Reason: Invalid, Cause: fmt.Errorf("the provider refused the sign-in: %s", errorCode(code))}
	}
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	described, err := p.describe(ctx, now)
	if err != nil {
		return nil, &Refusal{Reason: Unreachable, Cause: fmt.Errorf("read the provider's description: %w", err)}
	}
	token, err := p.flow(described).Exchange(oidc.ClientContext(ctx, p.client), sent.Get("code"), oauth2.VerifierOption(s.Verifier))
	if err != nil {
		reason := Invalid
		if _, failed := errors.AsType[*url.Error](err); failed {
			reason = Unreachable
		}
		return nil, &Refusal{Reason: reason, Cause: fmt.Errorf("redeem the code: %w", worded(err))}
	}
	claims, err := p.verify(ctx, described, token, s.Nonce)
	if err != nil {
		return nil, &Refusal{Reason: Invalid, Cause: fmt.Errorf("check the ID token: %w", err)}
	}
	return p.settings.user(claims, p.terms)
}

// verify returns the claims in the ID token that came with a token.
func (p *Provider) verify(ctx context.Context, described *oidc.Provider, token *oauth2.Token, nonce string) (claims map[string]any, err error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("there is none: is the scope openid among the scopes?")
	}
	verified, err := described.Verifier(&oidc.Config{ClientID: p.settings.ClientID}).Verify(oidc.ClientContext(ctx, p.client), raw)
	if err != nil {
		return nil, worded(err)
	}
	if !same(verified.Nonce, nonce) {
		return nil, errors.New("its nonce is not the one that was sent")
	}
	if err := verified.Claims(&claims); err != nil {
		return nil, errors.New("its claims are not valid")
	}
	// OpenID Connect Core, section 3.1.3.7.
	if party, given := claims["azp"]; (given || len(verified.Audience) > 1) && party != p.settings.ClientID {
		return nil, errors.New("it was issued for another client")
	}
	return claims, nil
}
