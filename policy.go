package trackway

import (
	"net/netip"
	"time"
)

// Algorithm is how a limit counts calls over time.
type Algorithm string

// The algorithms.
const (
	Fixed   Algorithm = "fixed"   // the window starts at the caller's first call; refused calls do not extend it
	Sliding Algorithm = "sliding" // this window's calls plus a share of the last window's
	GCRA    Algorithm = "gcra"    // evenly spaced calls after a burst (generic cell rate algorithm, ITU-T I.371)
)

// Per says which calls are counted together.
type Per string

// The ways to count.
const (
	PerIP     Per = "ip"
	PerIPPath Per = "ip+path" // each route has its own count
	PerKey    Per = "key"
	PerProj   Per = "project"
)

// Mode says what a policy does with a call over its limit.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // refuse it
	Report  Mode = "report"  // count it and send the header fields, but refuse nothing
	Off     Mode = "off"     // do not even count
)

// Policy is one rate limit: how many calls of which routes a caller may make in
// which time. It is the only type for limits: the configuration is read into it
// (yaml), and it is published and recorded as it is (json), with Window in
// seconds. Fields that only check the configuration (json:"-") are not
// published.
type Policy struct {
	Name string `yaml:"name" json:"name,omitempty"`
	// Paths are prefixes ("/api/") or exact paths. Each may begin with a method
	// ("POST /data/").
	Paths     []string      `yaml:"paths" json:"paths"`
	Limit     uint32        `yaml:"limit" json:"limit"` // calls in a window
	Window    time.Duration `yaml:"window" json:"window"`
	Per       Per           `yaml:"per" json:"per"`
	Algorithm Algorithm     `yaml:"algorithm" json:"algorithm"`
	// Burst is for gcra: how many calls are admitted at once. 0 means a tenth
	// of the limit, but at least 1.
	Burst uint32 `yaml:"burst" json:"burst,omitempty"`
	Mode  Mode   `yaml:"mode" json:"mode"`
	// Also applies this policy in addition to the one with the longest matching
	// path, not instead of it.
	Also bool `yaml:"also" json:"also"`
	// Shared makes the servers of a cluster count together. Otherwise each
	// counts for itself.
	Shared bool `yaml:"shared" json:"shared,omitempty"`
	// Candidate is a second limit that is counted beside the one in force, and
	// never refuses a call. 0 means no candidate.
	Candidate uint32 `yaml:"candidate" json:"candidate,omitempty"`
	// NoLooserThan names another policy. This one's rate must not exceed it.
	NoLooserThan string `yaml:"no_looser_than" json:"-"`
	// AllowBelowFloor permits a limit below the published minimum.
	AllowBelowFloor bool `yaml:"allow_below_floor" json:"-"`
	// IPv6Prefix is how many bits of an IPv6 address identify a caller. 0 means
	// 64.
	IPv6Prefix uint32 `yaml:"ipv6_prefix" json:"ipv6_prefix"`
	// IPv6Wide also counts IPv6 callers by a wider prefix.
	IPv6Wide IPv6Wide `yaml:"ipv6_wide" json:"ipv6_wide,omitzero"`
}

// IPv6Wide counts the callers of a wider IPv6 prefix together, against a
// multiple of the limit. Without it, the holder of a /48 would count as 65 536
// callers.
type IPv6Wide struct {
	Prefix uint32 `yaml:"prefix" json:"prefix"` // bits; fewer than the policy's IPv6Prefix
	Times  uint32 `yaml:"times"  json:"times"`  // the multiple; 0: the wider prefix is not counted
}

// IsZero reports whether the wider prefix is not counted.
func (w IPv6Wide) IsZero() bool { return w.Times == 0 }

// Override gives some callers a limit of their own. Exactly one of Address,
// Project and Key is set.
type Override struct {
	Policy    string       `yaml:"policy"`
	Address   netip.Prefix `yaml:"address"`
	Project   string       `yaml:"project"`   // the project's token; its name in the configuration file
	Key       string       `yaml:"key"`       // name of the key
	Limit     uint32       `yaml:"limit"`     // 0 blocks all calls
	Unlimited bool         `yaml:"unlimited"` // exempt from the limit; Limit is ignored
	Until     time.Time    `yaml:"until"`
}
