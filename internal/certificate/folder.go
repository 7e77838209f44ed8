package certificate

import (
	"net/url"
	"path/filepath"
	"strings"
)

// LetsEncrypt is the directory of the authority that is asked by default.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Dir is the name of the folder in a data directory.
const Dir = "certificates"

// Folder returns where a data directory keeps the keys and certificates of an
// authority. Each authority has a folder of its own, because a certificate of a
// rehearsal must not be served once another directory is configured.
func Folder(dataDir, directory string) string {
	name := directory
	if u, err := url.Parse(directory); err == nil {
		name = u.Host + u.Path
	}
	name = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
	return filepath.Join(dataDir, Dir, strings.Trim(name, ".-"))
}

// File returns the path of a host's certificate in a folder. The file holds the
// chain, and then the key, in PEM.
func File(folder, host string) string { return filepath.Join(folder, host+".pem") }
