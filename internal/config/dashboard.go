package config

import (
	"crypto/sha256"
	"encoding/hex"
)

// shortPassword is how many characters a password has at least that cannot be found out by trying all. Its hash is a fast one:
// what protects it is its length.
const shortPassword = 16

// password returns the SHA-256 of the password for the server's pages, zero where none is given.
func (d *doc) password(lookup func(string) (string, bool)) (sum [sha256.Size]byte) {
	f := &d.file.Dashboard
	hashed, named := d.given(&f.PasswordSHA256), d.given(&f.PasswordEnv)
	switch {
	case hashed && named:
		d.report(&f.PasswordEnv, "contradicts password_sha256: give one of them")
	case hashed:
		b, err := hex.DecodeString(string(f.PasswordSHA256))
		if err != nil || len(b) != len(sum) {
			d.report(&f.PasswordSHA256, "must be the password's SHA-256 in %d hexadecimal digits", hex.EncodedLen(len(sum)))
		}
		copy(sum[:], b)
	case named:
		value, _ := lookup(string(f.PasswordEnv))
		if value == "" {
			d.report(&f.PasswordEnv, "names an environment variable that is not set, or empty")
		} else if len(value) < shortPassword {
			d.warn(&f.PasswordEnv, "is a short password: use a random one of 16 characters or more")
		}
		return sha256.Sum256([]byte(value))
	case d.given(f):
		d.missing(f, "needs password_sha256 or password_env")
	}
	return sum
}
