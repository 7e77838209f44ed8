package postgres_test

import (
	"strings"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination/postgres"
)

// TestURLWithoutFile has a URL that is right, but names a file that is not
// there.
func TestURLWithoutFile(t *testing.T) {
	t.Parallel()
	_, err := postgres.New(config.Destination{Name: "w", URL: "postgres://u:s3cr3t@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/ca.pem: no such file") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v", err)
	}
}
