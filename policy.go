package trackway

import (
	"net/netip"
	"time"
)

// Algorithm is how a limit counts calls over time.
type Algorithm string

// The algorithms.
const (
	Fixed   Algorithm = "fixed"   // the window starts at the caller's first call; refused calls do not move it
	Sliding Algorithm = "sliding" // this window's calls and the last one's, weighted by what of it still counts
	GCRA    Algorithm = "gcra"    // evenly spaced calls after a burst (generic cell rate algorithm, ITU-T I.371)
)

// Per says whose calls are counted together.
type Per string

// The ways to count.
const (
	PerIP     Per = "ip"
	PerIPPath Per = "ip+path" // each route has a count of its own
	PerKey    Per = "key"
	PerProj   Per = "project"
)

// Mode says what a policy does with a call over its limit.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // refuse it
	Report  Mode = "report"  // count it, send the fields, refuse nothing
	Off     Mode = "off"     // do not even count
)

// Policy is one rate limit: how many calls, of what, by whom, in what time. It
// is the one shape of a limit: the configuration is read into it (yaml), and it
// is published and recorded as it is (json), but with Window in seconds. Fields
// that only check the configuration (json:"-") are not published.
type Policy struct {
	Name string `yaml:"name" json:"name,omitempty"`
	// Paths are prefixes ("/api/") or exact paths, each optionally with a
	// method in front ("POST /data/").
	Paths     []string      `yaml:"paths" json:"paths"`
	Limit     uint32        `yaml:"limit" json:"limit"` // calls in a window
	Window    time.Duration `yaml:"window" json:"window"`
	Per       Per           `yaml:"per" json:"per"`
	Algorithm Algorithm     `yaml:"algorithm" json:"algorithm"`
	// Burst is for gcra: calls admitted at once. 0 is a tenth of the limit, at
	// least 1.
	Burst uint32 `yaml:"burst" json:"burst,omitempty"`
	Mode  Mode   `yaml:"mode" json:"mode"`
	// Also makes it apply on top of the policy with the longest matching path,
	// not instead of it.
	Also bool `yaml:"also" json:"also"`
	// Candidate is a second limit, counted beside the one in force. It
	// refuses nothing. 0: there is no candidate.
	Candidate uint32 `yaml:"candidate" json:"candidate,omitempty"`
	// NoLooserThan names another policy, whose rate this one must not exceed.
	NoLooserThan string `yaml:"no_looser_than" json:"-"`
	// AllowBelowFloor lets the limit promise less than is published.
	AllowBelowFloor bool `yaml:"allow_below_floor" json:"-"`
	// IPv6Prefix is how many bits of an IPv6 address make one caller. 0 is 64.
	IPv6Prefix uint32 `yaml:"ipv6_prefix" json:"ipv6_prefix"`
	// IPv6Wide is a second, wider count of IPv6 callers.
	IPv6Wide IPv6Wide `yaml:"ipv6_wide" json:"ipv6_wide,omitzero"`
}

// IPv6Wide counts the callers of a wider IPv6 prefix together, at a multiple of
// the limit. Otherwise the holder of a /48 would be 65 536 callers.
type IPv6Wide struct {
	Prefix uint32 `yaml:"prefix" json:"prefix"` // bits, fewer than the policy's IPv6Prefix
	Times  uint32 `yaml:"times"  json:"times"`  // the multiple; 0: no such count
}

// IsZero tells whether there is no such count.
func (w IPv6Wide) IsZero() bool { return w.Times == 0 }

// Override gives some callers another limit than the policy's own. Exactly one
// of Address, Project and Key is set.
type Override struct {
	Policy    string       `yaml:"policy"`
	Address   netip.Prefix `yaml:"address"`
	Project   string       `yaml:"project"`   // token; in the configuration's file, the name
	Key       string       `yaml:"key"`       // name of the key
	Limit     uint32       `yaml:"limit"`     // 0 blocks
	Unlimited bool         `yaml:"unlimited"` // exempt, whatever Limit says
	Until     time.Time    `yaml:"until"`
}
