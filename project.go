package trackway

import (
	"time"
)

// Project is one tracked site, app or company. Customers, events and keys of
// different projects are separate.
type Project struct {
	Number uint32 // assigned by the store at start; 0 before
	Name   string
	Token  string // a UUID, lower case: the name in the API's paths
	Hard   []string
	Soft   []string
	Nobody []string // identifier values that name nobody: see [Project.LeavesOut]

	// The names of the identifiers that hold the user's id and the device's id
	// of other products' clients, which send such ids instead of identifiers.
	// User is hard and Device is soft. An empty one means that the project has
	// no such identifier.
	User, Device string

	// The attributes of OpenTelemetry's records that hold these ids. The
	// user's is in the first one that is present. Each one for devices
	// counts. Nil: the usual ones, see package otlp.
	UserAttributes, DeviceAttributes []string

	StreamID string // the id by which clients in stream mode name the project, without a key; empty: none may
	Legacy   bool   // calls of old clients without a key are accepted

	Personal []string // properties that an erasure removes
	Consents []ConsentCategory
	Keep     Retention
	Keys     []Key
}

// MaxIDAttributes is how many attributes may hold ids of users, and how many
// ids of devices.
const MaxIDAttributes = 4

// ConsentCategory is something that customers consent to or not, such as a
// newsletter. Events record their consent.
type ConsentCategory struct {
	ID                 string
	Name               string // for people
	Description        string // for people; may be empty
	LegitimateInterest bool   // consent counts as given until it is withdrawn
}

// Retention says how long a project keeps its events, counted from the time
// when they happened. The zero value keeps all events forever.
type Retention struct {
	Default time.Duration            // 0: forever
	Events  map[string]time.Duration // by type, instead of Default; 0: forever
}

// Of returns how long events of a type are kept. 0 means forever.
func (r Retention) Of(typ string) time.Duration {
	if d, ok := r.Events[typ]; ok {
		return d
	}
	return r.Default
}
