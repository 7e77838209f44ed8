package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"
)

// answerTime bounds each request to the authority.
const answerTime = 30 * time.Second

// Types of challenges, in the order in which they are tried.
const tlsALPN, http01 = "tls-alpn-01", "http-01"

// order gets a certificate for a host and writes it into its file.
func (m *Manager) order(ctx context.Context, host string) (*tls.Certificate, error) {
	client, err := m.client(ctx, m.Directory)
	if err != nil {
		return nil, err
	}
	order, err := m.prove(ctx, client, host)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, request, true)
	if err != nil {
		return nil, fmt.Errorf("get the certificate: %w", err)
	}
	text, err := encode(chain, key)
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

// authorizeAt proves that the server holds a host, and orders no certificate.
func (m *Manager) authorizeAt(ctx context.Context, directory, host string) error {
	client, err := m.client(ctx, directory)
	if err != nil {
		return err
	}
	_, err = m.prove(ctx, client, host)
	return err
}

// client returns a client with an account at a directory.
func (m *Manager) client(ctx context.Context, directory string) (*acme.Client, error) {
	key, err := accountKey(m.Dir)
	if err != nil {
		return nil, err
	}
	client := &acme.Client{
		Key: key, DirectoryURL: directory, UserAgent: "trackway", HTTPClient: &http.Client{Timeout: answerTime},
	}
	account := new(acme.Account)
	if m.Email != "" {
		account.Contact = []string{"mailto:" + m.Email}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("register an account at %s: %w", directory, err)
	}
	return client, nil
}

// prove returns an order whose challenge is passed. A failed challenge ends an
// order, so each type of challenge needs an order of its own.
func (m *Manager) prove(ctx context.Context, client *acme.Client, host string) (*acme.Order, error) {
	types := []string{tlsALPN}
	if m.HTTP {
		types = append(types, http01)
	}
	var wrong error
	for _, typ := range types {
		order, err := m.proveBy(ctx, client, host, typ)
		if err == nil {
			return order, nil
		}
		wrong = errors.Join(wrong, fmt.Errorf("%s: %w", typ, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, wrong
}

func (m *Manager) proveBy(ctx context.Context, client *acme.Client, host, typ string) (*acme.Order, error) {
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(host))
	if err != nil {
		return nil, err
	}
	for _, url := range order.AuthzURLs {
		if err := m.pass(ctx, client, url, host, typ); err != nil {
			return nil, err
		}
	}
	return client.WaitOrder(ctx, order.URI)
}

// pass passes one authorization by a challenge.
func (m *Manager) pass(ctx context.Context, client *acme.Client, url, host, typ string) error {
	authorization, err := client.GetAuthorization(ctx, url)
	if err != nil || authorization.Status == acme.StatusValid {
		return err
	}
	for _, c := range authorization.Challenges {
		if c.Type != typ {
			continue
		}
		withdraw, err := m.present(client, c, host)
		if err != nil {
			return err
		}
		defer withdraw()
		if _, err := client.Accept(ctx, c); err != nil {
			return err
		}
		_, err = client.WaitAuthorization(ctx, url)
		return err
	}
	return errors.New("the authority does not offer this challenge")
}

// present lets the server answer a challenge until withdraw is called.
func (m *Manager) present(client *acme.Client, c *acme.Challenge, host string) (withdraw func(), err error) {
	if c.Type == http01 {
		answer, err := client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return nil, err
		}
		path := client.HTTP01ChallengePath(c.Token)
		m.mu.Lock()
		m.tokens[path] = answer
		m.mu.Unlock()
		return func() {
			m.mu.Lock()
			delete(m.tokens, path)
			m.mu.Unlock()
		}, nil
	}
	cert, err := client.TLSALPN01ChallengeCert(c.Token, host)
	if err != nil {
		return nil, err
	}
	h := m.host(host)
	h.challenge.Store(&cert)
	return func() { h.challenge.Store(nil) }, nil
}
