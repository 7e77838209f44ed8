package cache

import (
	"trackway"
	"trackway/internal/change"
	"trackway/internal/identity"
)

// fewHolders is how many changed holders are searched one by one. A command
// usually changes one.
const fewHolders = 8

// usualHolders is how many holders a transaction may change before Empty
// releases the memory for them.
const usualHolders = 4096

// Changed holds the customers that a transaction has changed but not staged
// yet. A record lists all identifiers of its customer, up to 17 kB for each
// soft name, and every command of a batch may change it. So it is staged once,
// when the transaction ends. Until then the holder here is the current one,
// even if the cache has dropped it and the database has an older record.
//
// The zero value is empty. It is used under the store's lock.
type Changed struct {
	list []ChangedHolder
	at   map[trackway.Customer]int // places in the list; used if it has more than fewHolders
}

// Unseen is the kind of a change that no reader can see, so followers do not
// get it. It sorts below the other kinds. The value is free for this use
// because Stored never applies to a customer.
const Unseen = change.Stored

// ChangedHolder is a holder and its project.
type ChangedHolder struct {
	Project uint32
	*identity.Holder

	Kind   change.Kind // what has changed
	Record bool        // the record has changed; false: only property values or events have
}

// Of returns the holder of a customer, or nil if it has not changed.
func (c *Changed) Of(customer trackway.Customer) *identity.Holder {
	if i := c.find(customer); i >= 0 {
		return c.list[i].Holder
	}
	return nil
}

// find returns a customer's place in the list, or -1 if it has none.
func (c *Changed) find(customer trackway.Customer) int {
	if len(c.list) > fewHolders {
		if i, ok := c.at[customer]; ok {
			return i
		}
		return -1
	}
	for i := range c.list {
		if c.list[i].Customer == customer {
			return i
		}
	}
	return -1
}

// Add adds a holder, the kind of its change, and whether its record has
// changed. If the customer has a holder already, Add keeps that one.
func (c *Changed) Add(project uint32, h *identity.Holder, kind change.Kind, record bool) {
	if i := c.find(h.Customer); i >= 0 {
		one := &c.list[i]
		one.Kind, one.Record = max(one.Kind, kind), one.Record || record
		return
	}
	c.list = append(c.list, ChangedHolder{project, h, kind, record})
	switch n := len(c.list); {
	case n == fewHolders+1:
		if c.at == nil {
			c.at = make(map[trackway.Customer]int)
		}
		for i, one := range c.list {
			c.at[one.Customer] = i
		}
	case n > fewHolders:
		c.at[h.Customer] = n - 1
	}
}

// All returns the holders in the order of their first change, so that the same
// commands always give the same batch. The result is valid until the next call
// of Add or Empty.
func (c *Changed) All() []ChangedHolder { return c.list }

// Empty removes all holders. It keeps the memory for the next transaction,
// unless this one was unusually large.
func (c *Changed) Empty() {
	if len(c.list) > usualHolders {
		*c = Changed{}
		return
	}
	clear(c.list)
	c.list = c.list[:0]
	clear(c.at)
}
