package config

import (
	"crypto/sha256"
	"encoding/hex"
)

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
		d.checkDigest(&f.PasswordSHA256, sum, "password")
	case named:
		value, _ := lookup(string(f.PasswordEnv))
		if value == "" {
			d.report(&f.PasswordEnv, "names an environment variable that is not set, or empty")
		}
		d.warnOfWeak(&f.PasswordEnv, value)
		return sha256.Sum256([]byte(value))
	case d.given(f):
		d.missing(f, "needs password_sha256 or password_env")
	}
	return sum
}
