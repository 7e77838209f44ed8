package trackway

import (
	"crypto/sha256"
	"slices"
	"time"
)

// KeyKind says how a key is presented and what it may do by default.
type KeyKind string

// The kinds of key.
const (
	PublicKey  KeyKind = "public"  // Authorization: Token …; may track; is meant for browsers and apps
	PrivateKey KeyKind = "private" // Authorization: Basic …; may do everything
)

// Key is one way to be let in to a project.
type Key struct {
	Name   string
	Kind   KeyKind
	ID     string            // the public key's token, or the private key's id
	Secret [sha256.Size]byte // SHA-256 of the private key's secret

	// What still lets in, besides the above, until a time: the other half of a rotation. A zero time: nothing does.
	PreviousID     string // of a public key
	PreviousSecret [sha256.Size]byte
	PreviousUntil  time.Time

	// Permissions holds what the key may do, each with the names that it is restricted to; no names are no restriction. Nil
	// stands for what all keys of its kind may.
	Permissions map[Permission][]string
}

// Permission is one thing that a key may be allowed to do. Some can be restricted to names.
type Permission string

// The permissions. Those about customers can be restricted to properties, those about events to types.
const (
	SetCustomers Permission = "customers:set" // update customers' properties
	GetCustomers Permission = "customers:get" // read customers' properties and identifiers
	SetEvents    Permission = "events:set"    // add events
	GetEvents    Permission = "events:get"    // read events
	GDPR         Permission = "gdpr"          // erase who customers are
	Admin        Permission = "admin"         // see how the project and the server are used
)

// May tells whether the key has a permission, for some names at least.
func (k *Key) May(p Permission) bool {
	if k.Permissions == nil {
		return k.Kind == PrivateKey || p == SetCustomers || p == SetEvents
	}
	_, ok := k.Permissions[p]
	return ok
}

// MayName tells whether the key has a permission for a property or a type of event.
func (k *Key) MayName(p Permission, name string) bool {
	return k.May(p) && (!k.Restricted(p) || slices.Contains(k.Permissions[p], name))
}

// Restricted tells whether a permission that the key has is one for some names only.
func (k *Key) Restricted(p Permission) bool { return len(k.Permissions[p]) > 0 }
