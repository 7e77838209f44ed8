package change

import "trackway"

// Copy is a destination: a copy of the log outside the store.
type Copy struct {
	Name    string
	Through uint64 // it has all changes up to this number
	Deletes bool   // it can delete what an erasure removes
	Part    Part   // the part of the log that it gets; nil: everything

	// Cursor is the name under which the store keeps the copy's position. No
	// event expires before the cursor has passed it, unless the event was
	// received before Bound. Without a cursor, the copy holds nothing back.
	Cursor string
	Bound  trackway.Micros
}

// Part is a part of the log. It is safe for concurrent use.
type Part interface {
	// Has reports whether the part contains anything of a project.
	Has(project uint32) bool

	// Wants reports whether the part contains a project's events of a type.
	Wants(project uint32, typ string) bool
}

// Has reports whether the copy gets something of a project.
func (c *Copy) Has(project uint32) bool { return c.Part == nil || c.Part.Has(project) }

// Wants reports whether the copy gets an event.
func (c *Copy) Wants(e *trackway.Event) bool { return c.Part == nil || c.Part.Wants(e.Project, e.Type) }

// Copies is the list of all destinations of a store. It is safe for concurrent
// use.
type Copies interface {
	// List returns the destinations in the order of their names.
	List() []Copy

	// Missed notes that some events expired before a destination had them.
	Missed(name string, events int)
}
