package certificate_test

import (
	"crypto/x509"
	"fmt"
	"time"

	"trackway/internal/certificate"
)

func ExampleWarnings() {
	now := time.Date(2026, 11, 28, 20, 15, 0, 0, time.UTC)
	leaf := &x509.Certificate{
		DNSNames: []string{"track.example.com"}, NotBefore: now.AddDate(0, -2, 0), NotAfter: now.AddDate(0, 0, 5),
	}
	for _, warning := range certificate.Warnings(leaf, "track.example.com", now) {
		fmt.Println(warning)
	}
	for _, warning := range certificate.Warnings(leaf, "www.example.com", now.AddDate(0, -1, 0)) {
		fmt.Println(warning)
	}
	// Output:
	// the certificate expires on 2026-12-03 20:15 UTC, in 5 days: renew it
	// the certificate is not for the host of server.url: x509: certificate is valid for track.example.com, not www.example.com
}
