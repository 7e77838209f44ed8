package doctor

import "trackway/internal/certificate"

// certificate reports until when the certificate in the files is valid.
// Problems with it are among the configuration's warnings.
func (x *examination) certificate() {
	t := x.Config.TLS
	if t.Cert == "" {
		return
	}
	const check = "certificate"
	pair, err := certificate.Load(t.Cert, t.Key)
	if err != nil {
		x.fail(check, "put a pair of a certificate and its key there: the server serves the one before until then", "%v", err)
		return
	}
	x.ok(check, "%s ends on %s", t.Cert, pair.Leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
}
