package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"time"

	"trackway"
	"trackway/internal/config/owned"
)

// PrivateKey is what an operator's command presents to the running server.
type PrivateKey struct{ ID, Secret string }

// The reasons why no such key was found.
var (
	errOtherSecret = errors.New("the secret belongs to no private key in the configuration, or in " + ManagedFile + " of its data_dir")
	errNoSecret    = errors.New("the configuration has no secret of a private key with the permission admin: pass it with TRACKWAY_SECRET or --secret-file")
)

// LoadForOperator is [LoadElsewhere] for commands that ask the running server.
// It also finds a private key: the one with the given secret or, without a
// secret, the first with the permission admin whose secret is in the operator's
// file, or in the environment variable or file that it names.
func LoadForOperator(path string, flags Flags, secret string) (*Config, PrivateKey, error) {
	d, err := load(path, flags, elsewhere, owned.Read, nil)
	if err != nil {
		return nil, PrivateKey{}, err
	}
	cfg, err := d.result()
	if err != nil {
		return nil, PrivateKey{}, err
	}
	found, err := d.privateKey(secret, time.Now())
	return cfg, found, err
}

// privateKey finds the key that a secret belongs to at a time. Without a
// secret, it finds the first key whose secret is available.
func (d *doc) privateKey(secret string, now time.Time) (PrivateKey, error) {
	sum := sha256.Sum256([]byte(secret))
	for i := range d.file.Projects {
		for j, k := range d.holders[i].keys {
			known := cmp.Or(secret, d.secretHere(k))
			translated := &d.holders[i].translated[j]
			fits := translated.Secret == sum || translated.PreviousSecret == sum && now.Before(translated.PreviousUntil)
			if secret == "" {
				fits = translated.May(trackway.Admin)
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

// onlyKeyOfServer returns the only key whose secret only the server can read,
// so that it cannot be compared here.
func (d *doc) onlyKeyOfServer(secret string) (PrivateKey, error) {
	var found []PrivateKey
	for i := range d.file.Projects {
		for _, k := range d.holders[i].keys {
			if (k.SecretEnv != "" || k.SecretFile != "") && d.secretHere(k) == "" {
				found = append(found, PrivateKey{k.ID, secret})
			}
		}
	}
	if len(found) != 1 {
		return PrivateKey{}, errOtherSecret
	}
	return found[0], nil
}
