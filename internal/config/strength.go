package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// These limits protect against guessing. The server compares hashes that are
// fast to compute, so only the length of a secret protects it. A public key's
// token is not a secret, but a client that guesses one by accident counts as
// another.
const (
	shortSecret   = 16 // characters
	fewCharacters = 8  // different ones
	shortToken    = 8  // characters in a public key's token
)

// weak says what is wrong with a secret, or returns an empty text. It does not
// reveal the secret's length, because warnings are logged.
func weak(secret string) string {
	different := make(map[rune]bool)
	length := 0
	for _, c := range secret {
		different[c] = true
		length++
	}
	switch {
	case length < shortSecret:
		return fmt.Sprintf("has fewer than %d characters and can be guessed: use a random one", shortSecret)
	case len(different) < fewCharacters:
		return fmt.Sprintf("has fewer than %d different characters and can be guessed: use a random one", fewCharacters)
	}
	return ""
}

// guesses are the secrets that attackers try first, and those in examples.
var guesses = [...]string{
	"secret", "password", "passwort", "changeme", "change-me", "admin", "root", "test", "demo", "trackway", "example", "123456", "12345678", "…",
	"{{secret}}", "{{password}}",
}

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
	for _, guess := range guesses {
		if sum == sha256.Sum256([]byte(guess)) {
			d.warn(at, "is the SHA-256 of a "+what+" that attackers try first: use a random one")
		}
	}
	return sum
}

// fromEnvironment returns the SHA-256 of an environment variable's value.
func (d *doc) fromEnvironment(name *hidden) [sha256.Size]byte {
	value, _ := d.lookup(string(*name))
	if value == "" {
		d.report(name, "names an environment variable that is not set, or empty")
	}
	d.warnOfWeak(name, value)
	return sha256.Sum256([]byte(value))
}

// warnOfWeak warns of a secret that is easy to guess.
func (d *doc) warnOfWeak(at any, secret string) {
	if msg := weak(secret); msg != "" && secret != "" {
		d.warn(at, msg)
	}
}
