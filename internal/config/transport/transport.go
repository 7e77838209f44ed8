// Package transport is the section of the configuration that makes the public
// listener speak TLS.
package transport

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway/internal/certificate"
	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
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

// Others are the settings that the section must fit to.
type Others struct {
	Listen, OpsListen string
	Host              string // at which clients reach the server; may be empty
}

// Check checks where the certificate comes from.
func (t *TLS) Check(d *document.Doc, o Others) {
	CheckFiles(d, &t.Cert, &t.Key)
	if (t.Cert == "") != (t.Key == "") {
		d.Report(t, "needs both cert and key, or neither")
	}
	if d.Given(&t.ACME) {
		t.checkACME(d, o.Host)
	}
	if t.Redirect != "" {
		d.CheckListen(&t.Redirect)
		switch {
		case !t.Secure():
			d.Report(&t.Redirect, "needs a certificate (cert and key, or acme)")
		case (t.Redirect == o.Listen || t.Redirect == o.OpsListen) && !strings.HasSuffix(t.Redirect, ":0"):
			d.Report(&t.Redirect, "must not be the address of listen or ops_listen")
		}
	}
}

// CheckFiles refuses the text of a PEM file in place of its path.
func CheckFiles(d *document.Doc, paths ...*string) {
	for _, path := range paths {
		if strings.Contains(*path, "-----BEGIN ") { // perhaps a key, which no message may show
			d.Conceal(path)
			d.Report(path, "must be the path of a PEM file, not the text in it")
		}
	}
}

func (t *TLS) checkACME(d *document.Doc, serverHost string) {
	a := &t.ACME
	if t.Cert != "" {
		d.Report(a, "must not be set beside cert and key")
	}
	if len(a.Hosts) == 0 {
		d.Missing(a, "needs hosts, such as [tracking.example.com]")
	}
	seen := map[string]any{}
	for i := range a.Hosts {
		host := &a.Hosts[i]
		*host = strings.ToLower(*host)
		if !scalar.IsHost(*host) || !strings.Contains(*host, ".") || strings.Contains("."+*host+".", "..") || net.ParseIP(*host) != nil {
			d.Report(host, "must be a host's name in the DNS, such as tracking.example.com, without a port or a wildcard")
		}
		document.Unique(d, seen, host)
	}
	if host := strings.ToLower(serverHost); host != "" && !slices.Contains(a.Hosts, host) {
		d.Warn(a, "the hosts lack that of server.url, "+host+": clients would refuse the certificate of another")
	}
	d.CheckEmail(&a.Email)
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		d.ReportURL(&a.Directory, "must be an https URL, such as "+certificate.LetsEncrypt)
	}
}

// CheckCertificate reads the certificate, so that the operator learns of a
// wrong one before a client does. It also warns of problems that will come
// soon.
func (t *TLS) CheckCertificate(d *document.Doc, host string, now time.Time) {
	if t.Cert == "" || t.Key == "" || !d.Good(&t.Cert, &t.Key) {
		return
	}
	pair, err := certificate.Load(t.Cert, t.Key)
	if err != nil {
		d.Report(t, "cannot be used: %v", err)
		return
	}
	for _, w := range certificate.Warnings(pair.Leaf, host, now) {
		d.Warn(t, w)
	}
}
