package config

import (
	"crypto/sha256"
	"encoding/hex"

	"trackway/internal/config/secret"
)

// shortToken is the least number of characters in a public key's token. That is
// not a secret, but a client that guesses one by accident counts as another.
const shortToken = 8

// digest decodes a SHA-256 that stands for a secret or password. It refuses
// that of an empty text, and warns of those of guesses.
func (d *doc) digest(at *hidden, what string) (sum [sha256.Size]byte) {
	b, err := hex.DecodeString(string(*at))
	if err != nil || len(b) != len(sum) {
		d.report(at, "must be the %s's SHA-256 in %d hexadecimal digits", what, hex.EncodedLen(len(sum)))
	}
	copy(sum[:], b)
	if sum == sha256.Sum256(nil) {
		d.report(at, "is the SHA-256 of an empty %s", what)
	}
	if secret.Guessed(sum) {
		d.warn(at, "is the SHA-256 of a "+what+" that attackers try first: use a random one")
	}
	return sum
}

// warnOfWeak warns of a secret that is easy to guess.
func (d *doc) warnOfWeak(at any, text string) {
	if msg := secret.Weakness(text); msg != "" && text != "" {
		d.warn(at, msg)
	}
}
