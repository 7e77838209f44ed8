// Package secret reads secrets from files, and says which are easy to guess.
// The server compares hashes that are fast to compute, so only the length of a
// secret protects it.
package secret

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

const (
	short         = 16 // characters
	fewCharacters = 8  // different ones
)

// Weakness says what is wrong with a secret, or returns an empty text. It does
// not reveal the secret's length, because warnings are logged.
func Weakness(secret string) string {
	different := make(map[rune]bool)
	length := 0
	for _, c := range secret {
		different[c] = true
		length++
	}
	switch {
	case length < short:
		return fmt.Sprintf("has fewer than %d characters and can be guessed: use a random one", short)
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

// Guessed reports whether a SHA-256 is that of a secret that is tried first.
func Guessed(sum [sha256.Size]byte) bool {
	return slices.ContainsFunc(guesses[:], func(guess string) bool { return sum == sha256.Sum256([]byte(guess)) })
}
