package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// What cannot be found out by trying all: the server compares hashes that are
// fast to compute, so that the length of a secret is all that protects it. A
// public key's token is no secret, but one that is guessed by accident counts as
// somebody else's.
const (
	shortSecret   = 16 // characters
	fewCharacters = 8  // different ones
	shortToken    = 8  // characters of a public key's token
)

// weak says what is wrong with a secret, or nothing. It does not say how long the
// secret is: warnings are logged.
func weak(secret string) string {
	different := make(map[rune]bool)
	length := 0
	for _, c := range secret {
		different[c] = true
		length++
	}
	switch {
	case length < shortSecret:
		return fmt.Sprintf("has fewer than %d characters and can be found out by trying: use a random one", shortSecret)
	case len(different) < fewCharacters:
		return fmt.Sprintf("has fewer than %d different characters and can be found out by trying: use a random one", fewCharacters)
	}
	return ""
}

// guesses are what is tried first, and what examples say.
var guesses = [...]string{
	"secret", "password", "passwort", "changeme", "change-me", "admin", "root", "test", "demo", "trackway", "example", "123456", "12345678", "…",
	"{{secret}}", "{{password}}",
}

// digest returns the SHA-256 of a secret or password that is written as such. It
// refuses that of nothing, and warns of one of what is tried first.
func (d *doc) digest(at *hidden, what string) (sum [sha256.Size]byte) {
	b, err := hex.DecodeString(string(*at))
	if err != nil || len(b) != len(sum) {
		d.report(at, "must be the %s's SHA-256 in %d hexadecimal digits", what, hex.EncodedLen(len(sum)))
	}
	copy(sum[:], b)
	if sum == sha256.Sum256(nil) {
		d.report(at, "is the SHA-256 of an empty %s", what)
	}
	for _, guess := range guesses {
		if sum == sha256.Sum256([]byte(guess)) {
			d.warn(at, "is the SHA-256 of a "+what+" that is tried first: use a random one")
		}
	}
	return sum
}

// fromEnvironment returns the SHA-256 of what an environment variable holds.
func (d *doc) fromEnvironment(name *hidden) [sha256.Size]byte {
	value, _ := d.lookup(string(*name))
	if value == "" {
		d.report(name, "names an environment variable that is not set, or empty")
	}
	d.warnOfWeak(name, value)
	return sha256.Sum256([]byte(value))
}

// warnOfWeak warns of a secret that can be found out.
func (d *doc) warnOfWeak(at any, secret string) {
	if msg := weak(secret); msg != "" && secret != "" {
		d.warn(at, msg)
	}
}
