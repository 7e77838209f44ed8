// Package alarm decides when the server tells its operator that something is
// wrong. The rules are pure functions of samples, of the counts of events, and
// of the time. An alarm rings once, and tells once that it has ended, whatever
// happens between: what rings, and what nobody was told yet, is in a file.
//
// The package tells nobody itself: package notify takes the messages out of the
// [Book]. No message holds personal data: the subjects of alarms are names of
// projects, keys, types of events, destinations and limits.
package alarm

import (
	"slices"
	"time"

	"trackway/internal/config/alarming"
)

// Alarm is something that is wrong, or was.
type Alarm struct {
	Kind    string `json:"kind"` // of the rule
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text"` // what is wrong, in a sentence
	// Since is when it began to be wrong, and Rang when the alarm rang: after
	// the time for which its rule waits.
	Since time.Time `json:"since"`
	Rang  time.Time `json:"rang,omitzero"`
	Ended time.Time `json:"ended,omitzero"`

	// Fine is since when nothing is wrong any more, or since when nobody can
	// say. Until the alarm has ended, it may be wrong again.
	Fine    time.Time `json:"fine,omitzero"`
	Unknown time.Time `json:"unknown,omitzero"`

	Silent *silent `json:"silent,omitempty"`
}

// silent is what an alarm about silence was judged by.
type silent struct {
	Project  string `json:"project"`
	Type     string `json:"type,omitempty"`
	Expected uint32 `json:"expected"` // events in an hour, at least
	Percent  uint32 `json:"percent"`
}

// key identifies what may ring. A subject alone does not: it has only the
// beginning of a long name of a type.
type key struct{ kind, subject, typ string }

func (a *Alarm) key() key { return key{a.Kind, a.Subject, a.Silent.typ()} }

func (s *silent) typ() string {
	if s == nil {
		return ""
	}
	return s.Type
}

// Rings reports whether the alarm rings.
func (a *Alarm) Rings() bool { return !a.Rang.IsZero() && a.Ended.IsZero() }

// verdict is what a rule says about one thing at one moment.
type verdict struct {
	rule    *alarming.Rule
	subject string
	text    string
	bad     bool
	unknown bool      // nobody can say
	since   time.Time // when it began, if that is known
	silent  *silent   // nil unless the rule is about silence
}

func (v *verdict) key() key { return key{v.rule.Kind, v.subject, v.silent.typ()} }

// shared reports whether a rule is about data that all servers of a cluster
// have, so that only one of them tells it.
func shared(kind string) bool {
	return slices.Contains([]string{alarming.Silence, alarming.Refusals, alarming.NewType, alarming.ChangedType}, kind)
}

// State is what became of an alarm.
type State string

// The states in a message.
const (
	Rings State = "ringing"
	Ended State = "ended"
)

// Notice is something to tell.
type Notice struct {
	ID      string    `json:"id"` // the same however often it is sent
	State   State     `json:"state"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject,omitempty"`
	Text    string    `json:"text"`
	Since   time.Time `json:"since"`
	Ended   time.Time `json:"ended,omitzero"`
}
