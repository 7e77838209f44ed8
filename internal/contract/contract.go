// Package contract is what a project demands of events of a type. Package
// schema checks events, and package book keeps the contracts in force.
package contract

// Contract says what events of a type must look like.
type Contract struct {
	Type   string
	Action Action
	Schema []byte // for the properties, in canonical form
}

// Action is what becomes of an event that breaks its contract.
type Action string

// The actions.
const (
	Report     Action = "report"     // it is stored, and counted as broken
	Refuse     Action = "refuse"     // it is refused
	Quarantine Action = "quarantine" // it is stored with the property [trackway.Quarantined]
)

// Actions returns the actions.
func Actions() []Action { return []Action{Report, Refuse, Quarantine} }
