package trackway

import (
	"crypto/sha256"
	"slices"
	"time"
)

// KeyKind says how a client presents a key and what the key may do by default.
type KeyKind string

// The kinds of key.
const (
	PublicKey  KeyKind = "public"  // Authorization: Token …; may track; for browsers and apps
	PrivateKey KeyKind = "private" // Authorization: Basic …; may do everything
)

// Key gives access to a project.
type Key struct {
	Name   string
	Kind   KeyKind
	ID     string            // the public key's token, or the private key's id
	Secret [sha256.Size]byte // SHA-256 of the private key's secret

	// After a rotation, the old credentials also work until PreviousUntil. A
	// zero time means that there are no old credentials.
	PreviousID     string // of a public key
	PreviousSecret [sha256.Size]byte
	PreviousUntil  time.Time

	// Permissions maps what the key may do to the names that each permission is
	// restricted to. No names mean no restriction. Nil means the permissions of
	// every key of its kind.
	Permissions map[Permission][]string
}

// Permission is one thing that a key may be allowed to do. Some permissions can
// be restricted to names.
type Permission string

// The permissions. Those about customers can be restricted to properties, those
// about events to event types.
const (
	SetCustomers Permission = "customers:set" // update customers' properties
	GetCustomers Permission = "customers:get" // read customers' properties and identifiers
	SetEvents    Permission = "events:set"    // add events
	GetEvents    Permission = "events:get"    // read events
	GDPR         Permission = "gdpr"          // erase the identity of customers
	Admin        Permission = "admin"         // see how the project and the server are used
)

// May reports whether the key has a permission, at least for some names.
func (k *Key) May(p Permission) bool {
	if k.Permissions == nil {
		return k.Kind == PrivateKey || p == SetCustomers || p == SetEvents
	}
	_, ok := k.Permissions[p]
	return ok
}

// MayName reports whether the key has a permission for a property or an event
// type.
func (k *Key) MayName(p Permission, name string) bool {
	return k.May(p) && (!k.Restricted(p) || slices.Contains(k.Permissions[p], name))
}

// Restricted reports whether the key has a permission for some names only.
func (k *Key) Restricted(p Permission) bool { return len(k.Permissions[p]) > 0 }
