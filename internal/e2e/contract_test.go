package e2e

import (
	"fmt"
	"net/http"
	"os"
	"sync"

	"trackway/openapi/openapitest"
)

// contract is the transport of all calls. A call that departs from openapi.yaml fails, and the whole run fails, too, since some
// tests expect calls to fail.
var contract = newContract()

type contractTransport struct {
	openapitest.Transport

	mu    sync.Mutex // guards wrong
	wrong []error
}

func newContract() *contractTransport {
	c, err := openapitest.Load()
	if err != nil {
		panic(err) // each test would fail for it
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

// departed says which calls departed from the contract, and whether there were any.
func (t *contractTransport) departed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, err := range t.wrong {
		fmt.Fprintln(os.Stderr, err)
	}
	return len(t.wrong) > 0
}
