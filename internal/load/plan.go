// Package load puts a server under load and checks its promises. A figure
// counts only if every acknowledged event is stored exactly once. A latency is
// the time that a caller would have waited: the open loop counts it from the
// moment at which a request was due, not from the moment at which a connection
// became free (no coordinated omission). The package knows the tracking API and
// the data API, but no internals of the server.
package load

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind is the content of one request.
type Kind string

// The kinds of request.
const (
	Single Kind = "single" // one event
	Batch  Kind = "batch"  // Plan.BatchSize events
	// Merge is an event of an unknown visitor, followed by one that identifies
	// the visitor, so that two customers become one.
	Merge Kind = "merge"
)

const mergeEvents = 2

// Mix is the weight of each kind.
type Mix map[Kind]int

// ParseMix reads "single=8,batch=1,merge=1". A name alone has the weight 1.
func ParseMix(text string) (Mix, error) {
	m := Mix{}
	for part := range strings.SplitSeq(text, ",") {
		name, weight, given := strings.Cut(strings.TrimSpace(part), "=")
		n := 1
		if given {
			var err error
			if n, err = strconv.Atoi(weight); err != nil || n < 0 {
				return nil, fmt.Errorf("mix: %q must be a weight such as 3", weight)
			}
		}
		switch kind := Kind(name); kind {
		case Single, Batch, Merge:
			m[kind] = n
		default:
			return nil, fmt.Errorf("mix: must be single, batch or merge, not %q", name)
		}
	}
	if m.total() == 0 {
		return nil, errors.New("mix: at least one weight must be above zero")
	}
	return m, nil
}

func (m Mix) total() int { return m[Single] + m[Batch] + m[Merge] }

// kind returns the kind of the nth request. It depends only on n, so that two
// runs are alike.
func (m Mix) kind(n uint64) Kind {
	at := int(n % uint64(m.total()))
	switch {
	case at < m[Single]:
		return Single
	case at < m[Single]+m[Batch]:
		return Batch
	}
	return Merge
}

// Plan describes one run. All fields are required, except Rate, Addresses,
// Header and Bytes.
type Plan struct {
	Client  *http.Client // with room for Connections
	URL     string       // of the server, without a final slash
	Project string       // token

	// Track and Read are values of Authorization: to send events, and to read
	// them back.
	Track, Read string

	// Rate is the number of requests to send per second, independent of the
	// server's answers. If it is 0, each connection sends a request as soon as
	// it has the last answer.
	Rate        float64
	Connections int // requests under way at once
	Duration    time.Duration
	Mix         Mix
	BatchSize   int
	Customers   int    // of the events
	Bytes       int    // additional text in each event
	Addresses   int    // that requests claim to come from; 0: their own
	Header      string // that carries those addresses; the server must trust it
	Name        string // of the run; must be unique
}

// events returns how many events a request of a kind carries.
func (p *Plan) events(k Kind) int {
	switch k {
	case Batch:
		return p.BatchSize
	case Merge:
		return mergeEvents
	}
	return 1
}

// customer is the registered identifier of the kth customer.
func (p *Plan) customer(k int) string { return "bench-" + p.Name + "-" + strconv.Itoa(k) }

// address returns the address that the nth request claims to come from. It is
// in 198.18.0.0/15, the range for benchmarks (RFC 2544).
func (p *Plan) address(n uint64) string {
	const range15 = 1 << 17
	at := n % uint64(min(p.Addresses, range15))
	return fmt.Sprintf("198.%d.%d.%d", 18+at>>16, at>>8&0xff, at&0xff)
}
