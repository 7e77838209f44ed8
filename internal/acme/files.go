package acme

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"trackway/internal/certificate"
	"trackway/internal/durable"
)

const (
	account    = "account.key" // no host's file: those end in .pem
	privateDir = 0o700
	private    = 0o600
)

// Load reads a host's certificate. If it is missing, the error is
// [fs.ErrNotExist].
func Load(folder, host string) (*tls.Certificate, error) {
	text, err := os.ReadFile(certificate.File(folder, host))
	if err != nil {
		return nil, err
	}
	return parse(text, host)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func makeFolder(folder string) error {
	if err := os.MkdirAll(folder, privateDir); err != nil {
		return fmt.Errorf("make the folder for certificates: %w", err)
	}
	return nil
}

func store(folder, host string, text []byte) error {
	return durable.Replace(certificate.File(folder, host), text, private)
}

// parse reads a chain and its key, and checks that they are for the host.
func parse(text []byte, host string) (*tls.Certificate, error) {
	cert, err := certificate.Parse(text, text)
	if err != nil {
		return nil, err
	}
	return cert, cert.Leaf.VerifyHostname(host)
}

// appendKey returns a chain in PEM with its key behind it.
func appendKey(chain []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	text := bytes.NewBuffer(chain)
	err := encodeKey(text, key)
	return text.Bytes(), err
}

func encodeKey(text *bytes.Buffer, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return pem.Encode(text, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// accountKey reads the key of the account at the authority, and makes it if it
// is missing.
func accountKey(folder string) (crypto.Signer, error) {
	path := filepath.Join(folder, account)
	text, err := os.ReadFile(path)
	if missing(err) {
		return newAccountKey(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key: remove it to get a new account", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds no key that can sign", path)
	}
	return signer, nil
}

func newAccountKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := encodeKey(&text, key); err != nil {
		return nil, err
	}
	return key, durable.Create(path, text.Bytes(), private)
}
