package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// answerTime bounds each request to the authority.
const answerTime = 30 * time.Second

// order gets a certificate for a host from a directory, in PEM with its key.
func (m *Manager) order(ctx context.Context, directory, host string) (text []byte, err error) {
	client := acmez.Client{
		Client:           &acme.Client{Directory: directory, UserAgent: "trackway", HTTPClient: &http.Client{Timeout: answerTime}},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeTLSALPN01: byTLS{m}},
	}
	if m.HTTP {
		client.ChallengeSolvers[acme.ChallengeTypeHTTP01] = byHTTP{m}
	}
	account := acme.Account{TermsOfServiceAgreed: true}
	if account.PrivateKey, err = accountKey(m.Dir); err != nil {
		return nil, err
	}
	if m.Email != "" {
		account.Contact = []string{"mailto:" + m.Email}
	}
	if account, err = client.NewAccount(ctx, account); err != nil { // the authority returns one that it knows
		return nil, fmt.Errorf("register an account at %s: %w", directory, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	chains, err := client.ObtainCertificateForSANs(ctx, account, key, []string{host})
	switch {
	case err != nil:
		return nil, err
	case len(chains) == 0:
		return nil, errors.New("the authority sent no certificate")
	}
	return appendKey(chains[0].ChainPEM, key)
}

// byTLS answers tls-alpn-01.
type byTLS struct{ m *Manager }

func (b byTLS) Present(_ context.Context, c acme.Challenge) error {
	h := b.m.host(c.Identifier.Value)
	if h == nil {
		return fmt.Errorf("the authority checks %s", c.Identifier.Value)
	}
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	h.challenge.Store(cert)
	return err
}

func (b byTLS) CleanUp(_ context.Context, c acme.Challenge) error {
	if h := b.m.host(c.Identifier.Value); h != nil {
		h.challenge.Store(nil)
	}
	return nil
}

// byHTTP answers http-01.
type byHTTP struct{ m *Manager }

func (b byHTTP) Present(_ context.Context, c acme.Challenge) error {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.m.tokens[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

func (b byHTTP) CleanUp(_ context.Context, c acme.Challenge) error {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	delete(b.m.tokens, c.HTTP01ResourcePath())
	return nil
}

// refused reports whether the authority refuses to issue more certificates for
// now.
func refused(err error) bool {
	problem, ok := errors.AsType[acme.Problem](err)
	return ok && problem.Type == acme.ProblemTypeRateLimited
}

// obtain orders a certificate and writes it into the host's file.
func (m *Manager) obtain(ctx context.Context, host string) (*tls.Certificate, error) {
	text, err := m.issue(ctx, m.Directory, host)
	if err != nil {
		return nil, err
	}
	cert, err := parse(text, host)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	if err := store(m.Dir, host, text); err != nil {
		m.Log.Error("a new certificate could not be written: the server orders another one when it starts again", "host", host, "err", err)
	}
	return cert, nil
}
