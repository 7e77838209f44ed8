package config

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway/internal/certificate"
)

// TLS says where the public listener's certificate comes from: from two PEM
// files, or from an authority. If neither is set, the listener speaks plain
// HTTP.
type TLS struct {
	Cert     string `yaml:"cert"` // a file
	Key      string `yaml:"key"`  // a file
	ACME     ACME   `yaml:"acme"`
	Redirect string `yaml:"redirect"` // host:port that sends plain HTTP on to HTTPS; may be empty
}

// ACME names the authority that issues the certificates, and for which hosts.
type ACME struct {
	Hosts     []string `yaml:"hosts"` // in lower case; none: no authority is asked
	Email     string   `yaml:"email"` // where the authority reaches the operator; may be empty
	Directory string   `yaml:"directory"`
}

// Secure reports whether the public listener speaks TLS.
func (t *TLS) Secure() bool { return t.Cert != "" || len(t.ACME.Hosts) > 0 }

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

// checkTLS checks where the certificate comes from.
func (d *doc) checkTLS() {
	t := &d.file.TLS
	for _, path := range append(d.file.Cluster.Files(), &t.Cert, &t.Key) {
		if strings.Contains(*path, "-----BEGIN ") { // perhaps a key, which no message may show
			d.conceal(path)
			d.report(path, "must be the path of a PEM file, not the text in it")
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		d.report(t, "needs both cert and key, or neither")
	}
	if d.given(&t.ACME) {
		d.checkACME(&t.ACME)
	}
	if t.Redirect != "" {
		d.checkListen(&t.Redirect)
		switch {
		case !t.Secure():
			d.report(&t.Redirect, "needs a certificate (cert and key, or acme)")
		case (t.Redirect == d.file.Listen || t.Redirect == d.file.OpsListen) && !strings.HasSuffix(t.Redirect, ":0"):
			d.report(&t.Redirect, "must not be the address of listen or ops_listen")
		}
	}
}

func (d *doc) checkACME(a *ACME) {
	if d.file.TLS.Cert != "" {
		d.report(a, "must not be set beside cert and key")
	}
	if len(a.Hosts) == 0 {
		d.missing(a, "needs hosts, such as [tracking.example.com]")
	}
	seen := map[string]any{}
	for i := range a.Hosts {
		host := &a.Hosts[i]
		*host = strings.ToLower(*host)
		if !isHost(*host) || !strings.Contains(*host, ".") || strings.Contains("."+*host+".", "..") || net.ParseIP(*host) != nil {
			d.report(host, "must be a host's name in the DNS, such as tracking.example.com, without a port or a wildcard")
		}
		unique(d, seen, host)
	}
	if host := strings.ToLower(d.file.publicHost()); host != "" && !slices.Contains(a.Hosts, host) {
		d.warn(a, "the hosts lack that of server.url, "+host+": clients would refuse the certificate of another")
	}
	d.checkEmail(&a.Email)
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		d.reportURL(&a.Directory, "must be an https URL, such as "+certificate.LetsEncrypt)
	}
}

// checkCertificate reads the certificate, so that the operator learns of a
// wrong one before a client does. It also warns of problems that will come
// soon.
func (d *doc) checkCertificate(now time.Time) {
	t := &d.file.TLS
	if t.Cert == "" || t.Key == "" || !d.good(&t.Cert, &t.Key) {
		return
	}
	pair, err := certificate.Load(t.Cert, t.Key)
	if err != nil {
		d.report(t, "cannot be used: %v", err)
		return
	}
	for _, w := range certificate.Warnings(pair.Leaf, d.file.publicHost(), now) {
		d.warn(t, w)
	}
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
