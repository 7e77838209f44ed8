package audit

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Failure is an attempt to sign in that was refused.
type Failure struct {
	User    string // one that exists; empty for all others: somebody may have typed a password there
	Address netip.Addr
}

// failing gathers failures, so that strangers cannot fill the disk.
type failing struct {
	count       uint64
	since, last time.Time
	users       tally
	addresses   tally
}

// tally counts by name. Beyond mostNames, others are counted together.
type tally struct {
	names  map[string]uint64
	others uint64
}

const mostNames = 8

func (t *tally) add(name string) {
	if _, known := t.names[name]; !known && len(t.names) >= mostNames || name == "" {
		t.others++
		return
	}
	if t.names == nil {
		t.names = make(map[string]uint64)
	}
	t.names[name]++
}

func (t *tally) text(others string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(t.names)) {
		list = append(list, fmt.Sprintf("%s (%d)", name, t.names[name]))
	}
	if t.others > 0 {
		list = append(list, fmt.Sprintf("%s (%d)", others, t.others))
	}
	return strings.Join(list, ", ")
}

// SignInFailed counts a refused attempt to sign in. The attempts of ten minutes
// make one entry, written at the end of that time or before the next entry.
func (l *Log) SignInFailed(f Failure) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g := &l.failing
	g.last = time.Now()
	if g.count == 0 {
		g.since = g.last
	}
	g.count++
	g.users.add(f.User)
	g.addresses.add(network(f.Address))
}

// network returns an address as it is gathered: an IPv6 address by its /64.
func network(a netip.Addr) string {
	const site = 64
	if a = a.Unmap(); a.Is6() {
		p, _ := a.WithZone("").Prefix(site)
		return p.String()
	}
	return AddressText(a)
}

func (f *failing) entry() *Entry {
	if f.count == 0 {
		return nil
	}
	e := &Entry{
		At: f.last, Via: Page, Action: SignInFailed, Outcome: Refused, Count: f.count,
		Detail: fmt.Sprintf("since %s, for %s; from %s", f.since.UTC().Format(time.RFC3339), f.users.text("names that nobody has, or none"),
			f.addresses.text("others")),
	}
	if len(f.users.names) == 1 && f.users.others == 0 {
		e.Target = slices.Collect(maps.Keys(f.users.names))[0]
	}
	if len(f.addresses.names) == 1 && f.addresses.others == 0 {
		e.Address = slices.Collect(maps.Keys(f.addresses.names))[0]
	}
	return e
}
