// Package alarming is the section of the configuration that says when the
// server tells its operator that something is wrong, and how.
package alarming

import (
	"slices"
	"time"
)

// Alarms is a checked section.
type Alarms struct {
	Rules     []Rule     // the first of a kind that covers a thing decides about it
	Receivers []Receiver // whom to tell
	Zone      string     // by whose hours silence is compared; empty: unknown
}

// The kinds of rules. Those that also exist as an alert for Prometheus are
// called like it: TrackwayDestinationLags is destination_lags.
const (
	Silence            = "silence"
	Refusals           = "refusals"
	KeyRefused         = "key_refused"
	LimitRefuses       = "limit_refuses"
	LimitNear          = "limit_near"
	DestinationLags    = "destination_lags"
	DestinationStopped = "destination_stopped"
	DiskNearlyFull     = "disk_nearly_full"
	DiskFull           = "disk_full"
	StoreDamaged       = "store_damaged"
	CommandsFail       = "commands_fail"
	CertificateEnds    = "certificate_ends"
	CertificateInvalid = "certificate_invalid"
	ErasureLate        = "erasure_late"
	ContractBroken     = "contract_broken"
	NewType            = "new_type"
	ChangedType        = "changed_type"
	WasDown            = "was_down"
)

// Every is the type of a rule of silence that watches each type by itself.
const Every = "*"

// Rule says when an alarm rings. Settings that its kind does not have are zero.
type Rule struct {
	Kind        string        `yaml:"kind"`
	Project     string        `yaml:"project"` // empty: each
	Type        string        `yaml:"type"`    // silence: a type, or [Every]; empty: the project as a whole
	Destination string        `yaml:"destination"`
	Policy      string        `yaml:"policy"`
	Percent     uint32        `yaml:"percent"`
	Least       uint32        `yaml:"least"` // events, commands or values; fewer say nothing
	Weeks       uint32        `yaml:"weeks"`
	Age         time.Duration `yaml:"age"`
	For         time.Duration `yaml:"for"` // it rings after this time
}

// OfProject reports whether a rule is about what projects send, apart from
// [Silence], which is about what they do not send.
func (r *Rule) OfProject() bool {
	return slices.Contains([]string{Refusals, KeyRefused, ContractBroken, NewType, ChangedType}, r.Kind)
}

// Rank orders the kinds for when there are too many alarms: those of a low rank
// come first. Alarms of rank 0 are about the server itself. Strangers can cause
// those of rank 1, one for each project, key and limit of the configuration.
// They can cause even more of rank 2, because they can invent types.
func Rank(kind string) int {
	switch kind {
	case Silence:
		return 2
	case Refusals, KeyRefused, ContractBroken, NewType, ChangedType, LimitRefuses, LimitNear:
		return 1
	}
	return 0
}

// Bounds of the settings.
const (
	mostRules     = 100
	mostReceivers = 10
	mostTo        = 20
	mostWeeks     = 12
	mostTime      = 10 * 365 * 24 * time.Hour
)

const day = 24 * time.Hour

// usual has a rule of each kind with the values that it has unless others are
// given. They are those of packaging/prometheus/rules.yaml, if it has them. A
// setting that is zero here does not exist for the kind.
var usual = []Rule{
	{Kind: Silence, Percent: 10, Least: 20, Weeks: 4},
	{Kind: Refusals, Percent: 20, Least: 100, For: 10 * time.Minute},
	{Kind: KeyRefused, Percent: 20, Least: 100, For: 10 * time.Minute},
	{Kind: ContractBroken, Percent: 5, Least: 20, For: 10 * time.Minute},
	{Kind: NewType, Age: day},
	{Kind: ChangedType, Least: 10, Age: day},
	{Kind: LimitRefuses, Percent: 5, For: 15 * time.Minute},
	{Kind: LimitNear, Percent: 90, For: 10 * time.Minute},
	{Kind: DestinationLags, Age: 15 * time.Minute, For: 10 * time.Minute},
	{Kind: DestinationStopped},
	{Kind: DiskNearlyFull, Percent: 15, For: 15 * time.Minute},
	{Kind: DiskFull},
	{Kind: StoreDamaged},
	{Kind: CommandsFail},
	{Kind: CertificateEnds, Age: 14 * day, For: time.Hour},
	{Kind: CertificateInvalid, For: 15 * time.Minute},
	{Kind: ErasureLate, Age: day},
	{Kind: WasDown, Age: 5 * time.Minute},
}

// Usual returns the rules that apply unless the configuration lists others. A
// new type is nothing wrong by itself, so that rule has to be asked for.
func Usual() []Rule {
	rules := slices.DeleteFunc(slices.Clone(usual), func(r Rule) bool { return r.Kind == NewType })
	each := rules[0]
	each.Type = Every
	return slices.Insert(rules, 1, each)
}

// Kinds returns the kinds of rules.
func Kinds() []string {
	kinds := make([]string, len(usual))
	for i := range usual {
		kinds[i] = usual[i].Kind
	}
	return kinds
}

// UsualOf returns the values of a kind of rule.
func UsualOf(kind string) Rule {
	i := slices.IndexFunc(usual, func(r Rule) bool { return r.Kind == kind })
	if i < 0 {
		return Rule{Kind: kind}
	}
	return usual[i]
}

// Receiver is whom to tell. Settings that its kind does not have are empty.
type Receiver struct {
	Name string
	Kind string

	URL    string   // webhook, slack, teams
	Secret string   // webhook: what signs messages
	Allow  []string // webhook, slack, teams: hosts or CIDRs that may be private

	Server         string // mail: host:port
	TLS            string // mail: starttls, implicit or none
	CA             string // mail: a file with authorities to trust besides those of the system, absolute
	User, Password string // mail: empty: no login
	From           string // mail
	To             []string
}

// The kinds of receivers.
const (
	Webhook = "webhook"
	Slack   = "slack"
	Teams   = "teams"
	Mail    = "mail"
)

// The values of [Receiver.TLS].
const (
	StartTLS = "starttls"
	Implicit = "implicit"
	NoTLS    = "none"
)
