package api

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"trackway/internal/alarm"
	"trackway/internal/ask"
	"trackway/internal/fleet"
	"trackway/internal/httpcache"
	"trackway/internal/query"
	"trackway/internal/rates"
)

// serving is a call about the tracking servers.
type serving struct {
	*reading
	*servers
}

// servers is what those calls need.
type servers struct {
	fleet   *fleet.Fleet
	rates   *rates.Meter
	version string // the program's
	started time.Time
}

// serverStatus answers with the state of this server.
func (c *serving) serverStatus() error {
	all, err := c.total()
	if err != nil {
		return err
	}
	self := c.fleet.Self()
	up := time.Since(c.started)
	last := func(k rates.Kind) uint64 { return c.rates.LastMinute(c.received, k) }
	return c.encoded(struct {
		Name      string      `json:"name"`
		Region    string      `json:"region"`
		Version   string      `json:"version"`
		State     fleet.State `json:"state"`
		Uptime    int64       `json:"uptime"` // seconds
		Customers uint64      `json:"customers"`
		Events    uint64      `json:"events"`
		Accepted  uint64      `json:"accepted"`
		Refused   uint64      `json:"refused"`
		Limited   uint64      `json:"limited"`
	}{
		self.Name, self.Region, c.version, self.State, int64(up / time.Second), all.Customers(), all.Events(),
		last(rates.Answered), last(rates.Erred), last(rates.Limited),
	})
}

// total returns what all configured projects have sent since the beginning.
func (c *serving) total() (all query.Usage, err error) {
	err = c.withSnapshot(func(s query.Snapshot) error {
		for _, project := range c.access.Keys.ProjectNumbers() {
			one, err := query.Total(s, project)
			if err != nil {
				return err
			}
			all = all.Plus(one)
		}
		return nil
	})
	return all, err
}

// serverList answers all tracking servers.
func (c *serving) serverList() error {
	return c.encoded(struct {
		Servers []fleet.Server `json:"servers"`
	}{c.fleet.Servers()})
}

// maxRegion bounds the code of a region that is asked for, in bytes: the answer
// repeats it.
const maxRegion = 64

// serverNames answers with the names of a region's servers that are up, or of
// all if none is up. It is for clients that do not understand states.
func (c *serving) serverNames() error {
	region := c.fleet.Self().Region
	if query := c.r.URL.Query(); query.Has("region") {
		if region = query.Get("region"); len(region) > maxRegion {
			return ask.Invalid("region", "the code of a region, which has at most "+strconv.Itoa(maxRegion)+" bytes")
		}
	}
	regions, names, up := [][2]string{}, []string{}, []string{}
	for _, s := range c.fleet.Servers() {
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

// encoded answers with JSON that is made for each call. A 304 saves the caller
// the transfer, but costs a call, because the server has to make the answer
// before it can compare it.
func (c *call) encoded(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.answerTagged(httpcache.ETag(body), noCache, body)
}

// operated answers with the alarms. The tag is weak: it does not depend on when
// the answer was made.
func (c *call) operated(r alarm.Report) error {
	body, err := json.Marshal(r)
	r.At = time.Time{}
	steady, failed := json.Marshal(r)
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return c.answerTagged("W/"+httpcache.ETag(steady), noCache, body)
}
