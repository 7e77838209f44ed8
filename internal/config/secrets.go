package config

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trackway/internal/config/scalar"
	"trackway/internal/config/secret"
)

// forms are the settings that may give a secret. Every secret has all of them,
// except that one which the program presents to others has no digest.
type forms struct {
	name   string  // of the setting with the secret itself
	text   *hidden // the secret itself
	digest *hidden // its SHA-256; may be nil
	env    *hidden // the name of an environment variable that has it
	file   *hidden // the path of a file that has it
}

// all returns the addresses of the forms.
func (f forms) all() []any {
	all := []any{f.text, f.digest, f.env, f.file}
	if f.digest == nil {
		all = slices.Delete(all, 1, 2)
	}
	return all
}

// given returns how many of the forms are given.
func (f forms) given(d *doc) int {
	return len(slices.DeleteFunc(f.all(), func(at any) bool { return !d.given(at) }))
}

// String returns the names of the forms.
func (f forms) String() string {
	if f.digest == nil {
		return fmt.Sprintf("%s, %[1]s_env and %[1]s_file", f.name)
	}
	return fmt.Sprintf("%s, %[1]s_sha256, %[1]s_env and %[1]s_file", f.name)
}

// credential returns the secret that one of the forms gives. It is empty if
// none is given.
func (d *doc) credential(f forms) string {
	switch {
	case d.given(f.env):
		value, _ := d.lookup(string(*f.env))
		if value == "" {
			d.report(f.env, "names an environment variable that is not set, or empty")
		}
		return value
	case d.given(f.file):
		return d.credentialIn(f.file)
	case d.given(f.text) && *f.text == "":
		d.report(f.text, "must not be empty")
	}
	return string(*f.text)
}

// sumOf returns the SHA-256 of a secret that callers present, from the form
// that is given. It warns of one that is easy to guess.
func (d *doc) sumOf(f forms) [sha256.Size]byte {
	if d.given(f.digest) {
		return d.digest(f.digest, f.name)
	}
	text := d.credential(f)
	for _, at := range f.all() {
		if d.given(at) {
			d.warnOfWeak(at, text)
		}
	}
	return sha256.Sum256([]byte(text))
}

// credentialIn returns the secret in the file that a setting names.
func (d *doc) credentialIn(at *hidden) string {
	path := d.absolute(at, string(*at))
	text, mode, err := d.secretFile(path)
	if err != nil {
		d.report(at, "names %s %v", d.nameOf(at, path), err)
		return ""
	}
	if secret.Exposed(mode) {
		d.warn(at, fmt.Sprintf("names %s others may read or change (mode %#o): chmod 640", d.nameOf(at, path), mode.Perm()))
	}
	return text
}

// nameOf names the file of a secret in a message, as the subject of a clause.
// If neither the file exists nor a folder that its path begins with, the text
// may be the secret itself, written here by mistake, and is not shown.
func (d *doc) nameOf(at *hidden, path string) string {
	start, _ := filepath.Abs(d.folder(at))
	for p := path; p != start && p != filepath.Dir(p); p = filepath.Dir(p) {
		if _, err := os.Lstat(p); err == nil {
			return scalar.Quoted(string(*at)) + ", which"
		}
	}
	return "a file that"
}

// secretHere returns the secret of a key, or an empty text if this process
// cannot read it.
func (d *doc) secretHere(k *key) string {
	switch {
	case k.SecretEnv != "":
		return os.Getenv(string(k.SecretEnv))
	case k.SecretFile != "":
		text, _, err := secret.Read(d.absolute(&k.SecretFile, string(k.SecretFile)))
		if err != nil {
			return ""
		}
		return text
	}
	return string(k.Secret)
}

// holdsSecret reports whether the operator's file contains a secret. The hash
// of the dashboard's password counts: it is enough to forge sessions.
func (d *doc) holdsSecret() bool {
	for at, p := range d.Places {
		text, ok := at.(*hidden)
		if !ok || *text == "" || p.File != d.Name {
			continue
		}
		switch p.Field[strings.LastIndexByte(p.Field, '.')+1:] {
		case "secret", "client_secret", "password", "password_sha256", "value":
			return true
		case "url":
			// Anyone who knows the URL of a receiver of alarms may write there.
			if strings.Contains(string(*text), "@") || strings.HasPrefix(p.Field, "alarms.") {
				return true
			}
		}
	}
	return false
}

// warnOfMode warns if the file contains a secret and other users may read it.
func (d *doc) warnOfMode(mode fs.FileMode) {
	if secret.Exposed(mode) && d.holdsSecret() {
		d.Warnings = append(d.Warnings, Problem{File: d.Name, Msg: fmt.Sprintf(
			"holds a secret and others may read it (mode %#o): chmod 640, or use secret_sha256, secret_env or secret_file", mode.Perm())})
	}
}

// systemdFolder begins a path in the folder where systemd puts a unit's
// credentials (LoadCredential=).
const systemdFolder = "$CREDENTIALS_DIRECTORY/"

// folder returns where a relative path at an address starts: at the folder of
// the operator's file or, if a variable or flag gives the path, at the working
// directory.
func (d *doc) folder(at any) string {
	if p, given := d.Places[at]; given && p.File != d.Name {
		return "."
	}
	return filepath.Dir(d.Name)
}

// rooted returns a path that does not depend on the working directory more than
// the operator's file does.
func (d *doc) rooted(at any, path string) string {
	if name, ok := strings.CutPrefix(path, systemdFolder); ok {
		folder, _ := d.lookup(strings.Trim(systemdFolder, "$/"))
		if folder == "" {
			d.report(at, "needs the variable CREDENTIALS_DIRECTORY, which systemd sets for a unit with LoadCredential")
			return path
		}
		return filepath.Join(folder, name)
	}
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.folder(at), path)
}

// absolute returns a path that does not depend on the working directory.
func (d *doc) absolute(at any, path string) string {
	path = d.rooted(at, path)
	if whole, err := filepath.Abs(path); err == nil && path != "" {
		return whole
	}
	return path
}
