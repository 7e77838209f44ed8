package config

import "crypto/sha256"

// password returns the SHA-256 of the password for the server's pages. It is
// zero if there is no password.
func (d *doc) password() (sum [sha256.Size]byte) {
	f := &d.file.Dashboard
	hashed, named := d.given(&f.PasswordSHA256), d.given(&f.PasswordEnv)
	switch {
	case hashed && named:
		d.report(&f.PasswordEnv, "contradicts password_sha256: give one of them")
	case hashed:
		return d.digest(&f.PasswordSHA256, "password")
	case named:
		return d.fromEnvironment(&f.PasswordEnv)
	case d.given(f):
		d.missing(f, "needs password_sha256 or password_env")
	}
	return sum
}
