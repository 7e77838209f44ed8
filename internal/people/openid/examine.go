package openid

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Verdict says what a provider thinks of something.
type Verdict int

// The verdicts.
const (
	Unknown Verdict = iota
	Accepted
	Refused
)

// Examination is what can be found out about a provider without a person.
type Examination struct {
	Client   Verdict  // on the client id and its secret
	Redirect Verdict  // on the URL to which it sends browsers back
	Lacking  []string // scopes that it does not announce
}

// Examine asks a provider what it thinks of the configuration. It signs nobody
// in. The error says why the provider cannot be used at all.
func (p *Provider) Examine(ctx context.Context) (*Examination, error) {
	described, err := p.describe(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	var announced struct {
		Scopes []string `json:"scopes_supported"`
	}
	_ = described.Claims(&announced) // it was read before
	x := &Examination{Client: p.tryClient(ctx, described), Redirect: p.tryRedirect(ctx, described)}
	if announced.Scopes != nil {
		x.Lacking = slices.DeleteFunc(slices.Clone(p.settings.Scopes), func(scope string) bool { return slices.Contains(announced.Scopes, scope) })
	}
	return x, nil
}

// tryClient redeems a code that does not exist. The error tells whether the
// client or the code is wrong (RFC 6749, section 5.2).
func (p *Provider) tryClient(ctx context.Context, of *oidc.Provider) Verdict {
	_, err := p.flow(of).Exchange(oidc.ClientContext(ctx, p.client), "none", oauth2.VerifierOption(oauth2.GenerateVerifier()))
	answered, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok:
		return Unknown
	case answered.ErrorCode == "invalid_grant":
		return Accepted
	case answered.ErrorCode == "invalid_client", answered.ErrorCode == "unauthorized_client":
		return Refused
	}
	return Unknown
}

// tryRedirect asks for a sign-in without a person (OpenID Connect Core, section
// 3.1.2.1). The answer is an error, which a provider sends only to a URL that
// it knows.
func (p *Provider) tryRedirect(ctx context.Context, of *oidc.Provider) Verdict {
	s := newState(time.Now())
	to := p.flow(of).AuthCodeURL(s.State, oauth2.S256ChallengeOption(s.Verifier), oidc.Nonce(s.Nonce), oauth2.SetAuthURLParam("prompt", "none"))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return Unknown
	}
	w, err := p.client.Do(r)
	if err != nil {
		return Unknown
	}
	_ = w.Body.Close()
	switch {
	case strings.HasPrefix(w.Header.Get("Location"), p.redirect+"?"):
		return Accepted
	case w.StatusCode >= http.StatusBadRequest && w.StatusCode < http.StatusInternalServerError:
		return Refused
	}
	return Unknown
}
