package doctor

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/clientip"
	"trackway/internal/limit"
)

func perMinute(p *trackway.Policy) float64 { return float64(p.Limit) / p.Window.Minutes() }

func atLeast(f limit.Floor) float64 { return float64(f.Calls) / f.Window.Minutes() }

// limits checks for limits that are valid but rarely intended. Invalid ones are
// refused when the configuration is loaded.
func (x *examination) limits() {
	const check = "limits"
	before := len(x.findings)
	for i := range x.Config.Policies {
		p := &x.Config.Policies[i]
		if p.Mode != trackway.Enforce {
			x.warn(check, "if that was to try it: trackway limits show, then mode: enforce in policy "+p.Name,
				"%s refuses nothing (mode %s)", p.Name, p.Mode)
		}
		if other := x.policy(p.NoLooserThan); other != nil && perMinute(p) >= perMinute(other) {
			x.warn(check, "lower "+p.Name+", or leave out its no_looser_than", "%s (%.0f a minute) is not stricter than %s (%.0f)",
				p.Name, perMinute(p), other.Name, perMinute(other))
		}
	}
	for _, f := range x.Floors {
		x.floor(check, f)
	}
	x.consents(check)
	if len(x.findings) == before {
		f := x.Floors[0]
		x.ok(check, "%d policies; %s admits at least %.0f a minute", len(x.Config.Policies), f.Path, atLeast(f))
	}
}

// floor checks the limits on a path for which a minimum is published.
func (x *examination) floor(check string, f limit.Floor) {
	limited := false
	for i := range x.Config.Policies {
		p := &x.Config.Policies[i]
		on := func(path string) bool { return strings.HasPrefix(f.Path, path[strings.IndexByte(path, '/'):]) }
		if p.Mode != trackway.Enforce || !slices.ContainsFunc(p.Paths, on) {
			continue
		}
		limited = true
		if perMinute(p) < atLeast(f) {
			x.warn(check, fmt.Sprintf("clients rely on %d in %v: raise the limit, or tell them", f.Calls, f.Window),
				"%s admits %d in %v, less than is published", p.Name, p.Limit, p.Window)
		}
	}
	if !limited {
		x.warn(check, "add a limit with paths: ["+f.Path+"]", "one caller can use up the whole server: nothing on %s is limited", f.Path)
	}
}

// consents checks the limit on the consent categories. Apps read these with
// public keys, and many apps share an address. If a configuration lists its own
// limits, the path of the categories is not added to them.
func (x *examination) consents(check string) {
	const route = "/data/v2/projects/{token}/consent/categories"
	read := slices.ContainsFunc(x.Config.Projects, func(p trackway.Project) bool { return len(p.Consents) > 0 })
	set, err := limit.NewSet(x.Config.Policies, nil)
	if !read || err != nil { // nobody reads them, or loading the configuration has refused it
		return
	}
	policies, _ := set.Governing(http.MethodGet, route)
	for i := range policies {
		p := &policies[i]
		byAddress := p.Per == trackway.PerIP || p.Per == trackway.PerIPPath
		if p.Mode == trackway.Enforce && byAddress && perMinute(p) < atLeast(x.Floors[0]) {
			x.warn(check, "add /data/v2/projects/*/consent/categories to the paths of the policy that has /track/",
				"%s admits only %d calls in %v for the consent categories; all apps behind one address share them", p.Name, p.Limit, p.Window)
		}
	}
}

// policy returns the policy with a name, or nil.
func (x *examination) policy(name string) *trackway.Policy {
	i := slices.IndexFunc(x.Config.Policies, func(p trackway.Policy) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &x.Config.Policies[i]
}

// The widest address ranges that the proxies of one operator plausibly have.
const (
	widest4 = 12
	widest6 = 28
)

// proxies checks who may name the address that a call comes from.
func (x *examination) proxies() {
	const check = "proxies"
	before := len(x.findings)
	for _, p := range x.Config.TrustedProxies {
		switch widest := map[bool]int{true: widest4, false: widest6}[p.Addr().Is4()]; {
		case p.Bits() == 0:
			x.fail(check, "name your proxies' own addresses in trusted_proxies",
				"%s is trusted, so every caller can choose the address that its calls count for", p)
		case p.Bits() < widest && !private(p.Addr()):
			x.warn(check, "name your proxies' own addresses in trusted_proxies", "%s is trusted, which is more than the addresses of a proxy", p)
		}
	}
	if stranger := x.strangerTrusted(); stranger != "" && len(x.findings) == before {
		x.fail(check, "name your proxies' own addresses in trusted_proxies", "%s", stranger)
	}
	if len(x.Config.TrustedProxies) == 0 && loopbackOnly(x.Config.Listen) {
		x.warn(check, "trusted_proxies: [127.0.0.0/8, \"::1/128\"]",
			"the server only accepts connections from this host, so all calls come through a proxy, but no proxy is trusted: all callers count as one")
	}
	if len(x.findings) == before {
		x.ok(check, "%s is believed from %d ranges of addresses, and from nobody else", x.Config.ClientIPHeader, len(x.Config.TrustedProxies))
	}
}

// strangerTrusted says whether the server would trust an address that is
// reserved for documentation, and is nobody's proxy.
func (x *examination) strangerTrusted() string {
	r, err := clientip.New(clientip.Config{Trusted: x.Config.TrustedProxies, Header: x.Config.ClientIPHeader})
	if err != nil {
		return err.Error()
	}
	const stranger, claims = "203.0.113.9", "198.51.100.1"
	h := http.Header{}
	h.Set(x.Config.ClientIPHeader, clientip.HeaderValue(x.Config.ClientIPHeader, claims))
	if e := r.Explain(net.JoinHostPort(stranger, "4711"), h); e.Addr.String() == claims {
		return "the server would believe a stranger: " + e.String()
	}
	return ""
}

func private(a netip.Addr) bool { return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() }

// loopbackOnly reports whether only this host can reach a listener.
func loopbackOnly(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// offset is how far another clock is ahead of this host's.
type offset struct {
	whose string
	ahead time.Duration
}

// The header Date is in whole seconds, and an answer takes time, so a smaller
// offset means nothing.
const (
	skewSeen = 3 * time.Second
	skewBad  = time.Minute
)

// clock compares this host's clock with those of the servers that answered, and
// with the times of the data files.
func (x *examination) clock() {
	const check = "clock"
	const advice = "keep the time by NTP (chrony, systemd-timesyncd): times of events without a timestamp, " +
		"and the ends of limits' windows, are this clock's"
	before := len(x.findings)
	for _, s := range x.skews {
		switch off := s.ahead.Abs(); {
		case off >= skewBad:
			x.fail(check, advice, "%s is %v ahead of this host", s.whose, s.ahead.Round(time.Second))
		case off >= skewSeen:
			x.warn(check, advice, "%s is %v ahead of this host", s.whose, s.ahead.Round(time.Second))
		}
	}
	if ahead := x.futureFiles(time.Now()); ahead > futureFile {
		x.warn(check, advice, "a file in data_dir is %v ahead of the clock: the clock has been set back", ahead.Round(time.Second))
	}
	switch {
	case len(x.findings) > before:
	case len(x.skews) == 0:
		x.ok(check, "no file in data_dir is ahead of the clock; there is no other server to compare with")
	default:
		x.ok(check, "agrees with %d other servers", len(x.skews))
	}
}
