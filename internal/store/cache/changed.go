package cache

import (
	"trackway"
	"trackway/internal/change"
	"trackway/internal/identity"
)

// fewHolders is how many changed holders are searched one by one. The usual
// command changes one.
const fewHolders = 8

// usualHolders is how many a transaction changes at most before the memory for
// them is given back.
const usualHolders = 4096

// Changed are the customers that a transaction has changed and not staged yet.
// A record lists all of its customer's identifiers, up to 17 kB for each soft
// name, and every command of a batch may change it: it is staged once, when the
// transaction ends. Until then the holder here is the truth, also if the cache
// has dropped it and the database has an older record.
//
// The zero value is empty. It is used under the store's lock.
type Changed struct {
	list []ChangedHolder
	at   map[trackway.Customer]int // places in the list, from fewHolders on
}

// Unseen is the kind of a change that no reader can see: no follower is told.
// It is below the others, and Stored is never said of a customer.
const Unseen = change.Stored

// ChangedHolder is a holder and its project.
type ChangedHolder struct {
	Project uint32
	*identity.Holder

	Kind   change.Kind // what has changed
	Record bool        // its record has; if not, only values of properties or events have
}

// Of returns the holder of a customer, nil if it has not changed.
func (c *Changed) Of(customer trackway.Customer) *identity.Holder {
	if i := c.find(customer); i >= 0 {
		return c.list[i].Holder
	}
	return nil
}

// find returns a customer's place in the list, -1 if it has none.
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

// Add takes in a holder, what has changed, and whether its record has. It keeps
// the holder that is there already, if there is one.
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

// All returns the holders in the order in which they first changed, so that the
// same commands give the same batch. It is valid until the next call of Add or
// Empty.
func (c *Changed) All() []ChangedHolder { return c.list }

// Empty forgets all holders. It keeps the memory for the next transaction,
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
