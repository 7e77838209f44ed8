package e2e

import (
	"fmt"
	"net/http"
	"os"
	"sync"

	"trackway/openapi/openapitest"
)

// contract is the transport of all calls. A call that violates openapi.yaml
// fails. Some tests expect calls to fail and would hide that, so a violation
// fails the whole run as well.
var contract = newContract()

type contractTransport struct {
	openapitest.Transport

	mu    sync.Mutex // guards wrong
	wrong []error
}

func newContract() *contractTransport {
	c, err := openapitest.Load()
	if err != nil {
		panic(err) // every test would fail
	}
	t := &contractTransport{}
	t.Transport = openapitest.Transport{
		Contract: c, Next: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		Report: func(err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.wrong = append(t.wrong, err)
		},
	}
	return t
}

// departed prints the calls that violated the contract, and reports whether
// there were any.
func (t *contractTransport) departed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, err := range t.wrong {
		fmt.Fprintln(os.Stderr, err)
	}
	return len(t.wrong) > 0
}
