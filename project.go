package trackway

import (
	"net/netip"
	"time"
)

// Project is one tracked site, app or company: customers, events and keys of different projects never meet.
type Project struct {
	Number   uint32 // the store's, given at start; 0 before
	Name     string
	Token    string // a UUID, lower case: the name in the API's paths
	Hard     []string
	Soft     []string
	Nobody   []string // texts that, as an identifier's value, name nobody: see [Project.LeavesOut]
	Personal []string // properties that an erasure removes
	Consents []ConsentCategory
	Keep     Retention
	Keys     []Key
}

// ConsentCategory is something that customers consent to, or do not, such as a newsletter. That they did, events say.
type ConsentCategory struct {
	ID                 string
	Name               string // for people
	Description        string // for people; may be empty
	LegitimateInterest bool   // consent is taken for given until it is withdrawn
}

// Retention says how long a project's events are kept, counted from the time that they happened at. The zero value keeps all
// of them for ever.
type Retention struct {
	Default time.Duration            // 0: for ever
	Events  map[string]time.Duration // by type, in place of Default; 0: for ever
}

// Of returns how long events of a type are kept, 0 for ever.
func (r Retention) Of(typ string) time.Duration {
	if d, ok := r.Events[typ]; ok {
		return d
	}
	return r.Default
}

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

// What a policy can count by.
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

// Policy is one rate limit: how many calls, of what, by whom, in what time.
type Policy struct {
	Name      string
	Paths     []string // prefixes ("/api/") or exact paths, each optionally with a method in front ("POST /data/")
	Limit     uint32   // calls in a window
	Window    time.Duration
	Per       Per
	Algorithm Algorithm
	Burst     uint32 // gcra: calls admitted at once; 0 is a tenth of the limit, at least 1
	Mode      Mode
	Also      bool   // applies on top of the policy with the longest matching path, not instead of it
	Candidate uint32 // a second limit, counted beside the one in force and refusing nothing; 0: none

	AllowBelowFloor bool     // a limit on the tracking API may promise less than is published
	IPv6Prefix      uint32   // bits of an IPv6 address that make one caller; 0 is 64
	IPv6Wide        IPv6Wide // a second, wider count of IPv6 callers
}

// IPv6Wide counts the callers of a wider IPv6 prefix together, at a multiple of the limit, so that whoever holds a /48 is
// not 65 536 callers.
type IPv6Wide struct {
	Prefix uint32 // bits, fewer than the policy's IPv6Prefix
	Times  uint32 // the multiple; 0: no such count
}

// Override gives some callers another limit than the policy's own. Exactly one of Address, Project and Key is set.
type Override struct {
	Policy    string
	Address   netip.Prefix
	Project   string // token
	Key       string // name of the key
	Limit     uint32 // 0 blocks
	Unlimited bool   // exempt, whatever Limit says
	Until     time.Time
}
