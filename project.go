package trackway

import (
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
