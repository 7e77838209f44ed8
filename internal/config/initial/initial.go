// Package initial writes a first configuration, with random keys. Package
// config reads configurations, and never writes one of the operator's.
package initial

import (
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // for template
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"trackway/internal/durable"
)

//go:embed initial.yaml
var template string

// Credentials are what a client needs to use the first project. Only [Write]
// returns them: a read configuration contains no secrets.
type Credentials struct {
	ProjectToken string
	PublicToken  string
	KeyID        string
	Secret       string
	Password     string // for the server's pages
}

// Write writes a first configuration to path, with new random keys. Only its
// owner can read it. If a file exists already, Write leaves it alone and
// returns [fs.ErrExist].
func Write(path string) (Credentials, error) { return WriteFor(path, "") }

// WriteFor is [Write] for a data directory. If dataDir is empty, the directory
// is beside the file.
func WriteFor(path, dataDir string) (Credentials, error) {
	data := "./trackway-data"
	if dataDir != "" {
		data = strconv.Quote(dataDir)
	}
	c := Credentials{ProjectToken: NewUUID(), PublicToken: rand.Text(), KeyID: rand.Text(), Secret: rand.Text(), Password: rand.Text()}
	password := sha256.Sum256([]byte(c.Password))
	text := strings.NewReplacer(
		"{{project_token}}", c.ProjectToken, "{{public_token}}", c.PublicToken, "{{key_id}}", c.KeyID, "{{secret}}", c.Secret,
		"{{password_sha256}}", hex.EncodeToString(password[:]), "{{data_dir}}", data,
	).Replace(template)
	const ownerOnly = 0o600
	if err := durable.Create(path, []byte(text), ownerOnly); err != nil {
		return Credentials{}, fmt.Errorf("make configuration: %w", err)
	}
	return c, nil
}

// NewUUID returns a random UUID (RFC 9562 section 5.4).
func NewUUID() string {
	var u [16]byte
	rand.Read(u[:]) // never returns an error: it would crash the program
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}
