package config

import (
	"fmt"
	"time"

	"trackway"
)

// MaxOverlap limits how long both secrets of a rotated key may work. It limits
// the use of a leaked secret.
const MaxOverlap = 24 * time.Hour

// previous checks and translates what a key had before its rotation (the token
// of a public key, or the digest of a private key's secret), and when that
// ends.
func (r keyring) previous(k *key, domain *trackway.Key) {
	token, secret, until := r.given(&k.PreviousToken), r.given(&k.PreviousSecretSHA256), r.given(&k.PreviousUntil)
	switch {
	case token && k.Kind == trackway.PrivateKey:
		r.report(&k.PreviousToken, "belongs to a public key; a private one has a previous_secret_sha256")
	case secret && k.Kind == trackway.PublicKey:
		r.report(&k.PreviousSecretSHA256, "belongs to a private key; a public one has a previous_token")
	case until && !token && !secret:
		r.report(&k.PreviousUntil, "needs what works until then: previous_token (of a public key) or previous_secret_sha256")
	case !until && (token || secret):
		r.missing(k, "needs previous_until: when the previous token or secret ends")
	}
	if token && !isToken(string(k.PreviousToken)) {
		r.report(&k.PreviousToken, "must be 1 to 256 printable ASCII characters without spaces")
	}
	unique(r.doc, r.ids, &k.PreviousToken)
	domain.PreviousID, domain.PreviousUntil = string(k.PreviousToken), k.PreviousUntil
	if secret {
		domain.PreviousSecret = r.digest(&k.PreviousSecretSHA256, "secret")
	}
}

// warnOfOverlap warns of rotations that end too late.
func (d *doc) warnOfOverlap(now time.Time) {
	for _, h := range d.holders {
		for _, k := range h.keys {
			if at := &k.PreviousUntil; at.After(now.Add(MaxOverlap)) {
				d.warn(at, fmt.Sprintf("lets the key's previous secret work for more than %.0f hours from now", MaxOverlap.Hours()))
			}
		}
	}
}
