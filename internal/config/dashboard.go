package config

import "crypto/sha256"

// password returns the SHA-256 of the password for the server's pages. It is
// zero if there is no password, or if only users may sign in.
func (d *doc) password() (sum [sha256.Size]byte) {
	s := &d.file.Dashboard
	f := forms{"password", &s.Password, &s.PasswordSHA256, &s.PasswordEnv, &s.PasswordFile}
	switch n := f.given(d); {
	case n == 1 && s.UsersOnly:
		d.sumOf(f) // for its mistakes
		d.warn(&s.UsersOnly, "makes the password here have no effect: you may remove it")
	case n == 1:
		return d.sumOf(f)
	case n > 1 || d.given(s) && !d.given(&s.UsersOnly):
		d.missing(s, "needs exactly one of %s", f)
	}
	return sum
}
