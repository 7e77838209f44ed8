package doctor

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"time"

	"trackway/internal/acme"
	"trackway/internal/certificate"
)

// certificate reports until when the certificates are valid. Problems with
// those in files of the operator are among the configuration's warnings.
func (x *examination) certificate() {
	t := &x.Config.TLS
	const check = "certificate"
	if t.Cert != "" {
		pair, err := certificate.Load(t.Cert, t.Key)
		if err != nil {
			x.fail(check, "put a pair of a certificate and its key there: the server serves the one before until then", "%v", err)
			return
		}
		x.ok(check, "%s ends on %s", t.Cert, day(pair.Leaf.NotAfter))
	}
	for _, host := range t.ACME.Hosts {
		cert, err := acme.Load(x.Config.CertificateFolder(), host)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			x.fail(check, "start the server, and read in its log why the authority does not issue one: it must reach "+host+" from the internet at port 443, or at port 80 with tls.redirect",
				"%s has no certificate from %s yet", host, t.ACME.Directory)
		case err != nil:
			x.fail(check, "remove "+certificate.File(x.Config.CertificateFolder(), host)+": the server orders another one when it starts", "%v", err)
		default:
			x.issued(host, cert.Leaf)
		}
	}
}

// issued reports a certificate that the server renews by itself.
func (x *examination) issued(host string, leaf *x509.Certificate) {
	const check = "certificate"
	const advice = "read in the server's log why the authority does not renew it"
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		x.fail(check, advice, "that of %s ended on %s: clients refuse to connect", host, day(leaf.NotAfter))
	case acme.Late(leaf, now):
		x.warn(check, advice, "that of %s ends on %s, and should have been renewed", host, day(leaf.NotAfter))
	default:
		x.ok(check, "that of %s ends on %s, and is renewed before", host, day(leaf.NotAfter))
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
