// Command providertest is a provider of OpenID Connect for tests in other
// languages. It prints its issuer, client id and client secret on one line.
// Each line on its standard input is a JSON object that says what changes, and
// is answered by a line. It ends when its input does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"trackway/internal/people/openid/openidtest"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is a command
	}
}

func run(in io.Reader, out io.Writer) error {
	p, err := openidtest.Start("localhost:0") // another site than the server's, as in earnest
	if err != nil {
		return err
	}
	defer func() { _ = p.Server.Close() }()
	_, _ = fmt.Fprintln(out, p.Issuer(), p.ClientID, p.ClientSecret)
	for lines := json.NewDecoder(in); ; {
		var change struct {
			Next map[string]any // the claims of who signs in next
			Down *bool
		}
		if err := lines.Decode(&change); err != nil {
			return nil // the input has ended
		}
		if change.Next != nil {
			p.Next(change.Next)
		}
		if change.Down != nil {
			p.Down(*change.Down)
		}
		_, _ = fmt.Fprintln(out, "done")
	}
}
