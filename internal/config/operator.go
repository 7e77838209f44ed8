package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"trackway"
)

// PrivateKey is what an operator's command shows to the running server.
type PrivateKey struct{ ID, Secret string }

// The reasons why there is no such key.
var (
	errOtherSecret = errors.New("the secret is not that of any private key in the configuration")
	errNoSecret    = errors.New("no secret of a private key with the permission admin is in the configuration: give it by TRACKWAY_SECRET or --secret-file")
)

// LoadForOperator is [Load] for a command that asks the running server: it finds a private key, too. That is the one whose
// secret is given, or, if none is, the first with the permission admin whose secret stands in the file or in the environment
// variable that it names. What
// only the server itself needs (the certificate, the other environment variables) may be out of reach.
func LoadForOperator(path string, flags Flags, secret string) (*Config, PrivateKey, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, PrivateKey{}, fmt.Errorf("read configuration: %w", err)
	}
	d := parse(path, src, flags, func(name string) (string, bool) {
		const elsewhere = "the server's environment has it"
		return cmp.Or(os.Getenv(name), elsewhere), true
	}, nil)
	cfg, err := d.result()
	if err != nil {
		return nil, PrivateKey{}, err
	}
	key, err := d.privateKey(secret, time.Now())
	return cfg, key, err
}

// privateKey finds the key of a secret that lets in at a time, or the first one that has a secret at hand.
func (d *doc) privateKey(secret string, now time.Time) (PrivateKey, error) {
	sum := sha256.Sum256([]byte(secret))
	for i, p := range d.file.Projects {
		for j, k := range p.Keys {
			known := cmp.Or(secret, string(k.Secret), os.Getenv(string(k.SecretEnv)))
			domain := &d.file.Config.Projects[i].Keys[j]
			fits := domain.Secret == sum || domain.PreviousSecret == sum && now.Before(domain.PreviousUntil)
			if secret == "" {
				fits = domain.May(trackway.Admin)
			}
			if k.Kind == trackway.PrivateKey && known != "" && fits {
				return PrivateKey{k.ID, known}, nil
			}
		}
	}
	if secret != "" {
		return d.onlyKeyOfServer(secret)
	}
	return PrivateKey{}, errNoSecret
}

// onlyKeyOfServer returns the one key whose secret is in the server's environment alone, so that it cannot be compared.
func (d *doc) onlyKeyOfServer(secret string) (PrivateKey, error) {
	var found []PrivateKey
	for _, p := range d.file.Projects {
		for _, k := range p.Keys {
			if k.SecretEnv != "" && os.Getenv(string(k.SecretEnv)) == "" {
				found = append(found, PrivateKey{k.ID, secret})
			}
		}
	}
	if len(found) != 1 {
		return PrivateKey{}, errOtherSecret
	}
	return found[0], nil
}
