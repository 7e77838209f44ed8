package config

import (
	"net/url"

	"trackway/internal/certificate"
	"trackway/internal/config/transport"
)

// checkTLS checks where the certificate of the public listener comes from, and
// the files of those among the servers of a cluster.
func (d *doc) checkTLS() {
	f := &d.file
	transport.CheckFiles(d.Doc, f.Cluster.Files()...)
	f.TLS.Check(d.Doc, transport.Others{Listen: f.Listen, OpsListen: f.OpsListen, Host: f.publicHost()})
}

// CertificateFile returns the file that holds the certificate, and behind it
// perhaps others. It may be missing if it comes from an authority.
func (c *Config) CertificateFile() string {
	if c.TLS.Cert != "" {
		return c.TLS.Cert
	}
	return certificate.File(c.CertificateFolder(), c.TLS.ACME.Hosts[0])
}

// CertificateFolder returns where the certificates of the authority are.
func (c *Config) CertificateFolder() string {
	return certificate.Folder(c.DataDir, c.TLS.ACME.Directory)
}

// publicHost returns the host of the server's own URL. It is empty if that is
// not given or not https.
func (f *file) publicHost() string {
	u, err := url.Parse(f.Server.URL)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return u.Hostname()
}
