package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"trackway/internal/fleet"
	"trackway/internal/guide"
)

// status answers how this server is.
func (c *call) serverStatus() error {
	self := c.Fleet.Self()
	up := time.Since(c.started)
	accepted, refused, limited := c.lately.sums(up)
	return c.encoded(struct {
		Name     string      `json:"name"`
		Region   string      `json:"region"`
		Version  string      `json:"version"`
		State    fleet.State `json:"state"`
		Uptime   int64       `json:"uptime"` // seconds
		Accepted uint64      `json:"accepted"`
		Refused  uint64      `json:"refused"`
		Limited  uint64      `json:"limited"`
	}{self.Name, self.Region, c.Version, self.State, int64(up / time.Second), accepted, refused, limited})
}

// servers answers all tracking servers.
func (c *call) servers() error {
	return c.encoded(struct {
		Servers []fleet.Server `json:"servers"`
	}{c.Fleet.Servers()})
}

// serverNames answers the names of a region's servers, for clients that know no states: those that are up, or all if none is.
func (c *call) serverNames() error {
	region := c.Fleet.Self().Region
	if query := c.r.URL.Query(); query.Has("region") {
		region = query.Get("region")
	}
	regions, names, up := [][2]string{}, []string{}, []string{}
	for _, s := range c.Fleet.Servers() {
		if pair := [2]string{s.Region, s.Region}; s.Region != "" && !slices.Contains(regions, pair) {
			regions = append(regions, pair) // a region has no other name than its code
		}
		if s.Region != region {
			continue
		}
		names = append(names, s.Name)
		if s.State == fleet.Up {
			up = append(up, s.Name)
		}
	}
	if len(up) > 0 {
		names = up
	}
	slices.SortFunc(regions, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return c.encoded(struct {
		Region  string      `json:"region"`
		Regions [][2]string `json:"regions"`
		Servers []string    `json:"servers"`
	}{region, regions, names})
}

// encoded answers with JSON that is made anew for each call.
func (c *call) encoded(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.validated(guide.ETag(body), body)
}

// lately counts the requests of the last minute.
type lately struct{ accepted, refused, limited lastMinute }

// count counts a request that was answered with a status, at a time since the server's start.
func (l *lately) count(at time.Duration, status int) {
	switch {
	case status >= http.StatusOK && status < http.StatusBadRequest:
		l.accepted.add(at)
	case status == http.StatusTooManyRequests:
		l.limited.add(at)
		fallthrough
	default:
		l.refused.add(at)
	}
}

func (l *lately) sums(now time.Duration) (accepted, refused, limited uint64) {
	return l.accepted.sum(now), l.refused.sum(now), l.limited.sum(now)
}

// lastMinute is a count for each second of the last minute. A word holds the second and its count, so that taking over the word
// of a minute ago and counting are one step: no call is lost, and nothing has to run in the background. Safe for concurrent use.
type lastMinute [60]atomic.Uint64

const countBits = 32 // of a word; the rest is the second: enough for 4 billion calls a second, in 136 years

func (m *lastMinute) add(at time.Duration) {
	second := uint64(at / time.Second) //nolint:gosec // G115: the server's uptime
	word := &m[second%uint64(len(m))]
	for {
		old := word.Load()
		next := old + 1
		if old>>countBits != second {
			next = second<<countBits | 1
		}
		if word.CompareAndSwap(old, next) {
			return
		}
	}
}

// sum returns the calls of this second and of the 59 before it.
func (m *lastMinute) sum(now time.Duration) (n uint64) {
	second := uint64(now / time.Second) //nolint:gosec // G115: as above
	for i := range m {
		word := m[i].Load()
		if word>>countBits+uint64(len(m)) > second {
			n += word & (1<<countBits - 1)
		}
	}
	return n
}
