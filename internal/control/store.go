package control

import "encoding/json"

// Store says which store this is, so that whoever goes on with something knows whether it is the one that he began with.
type Store struct {
	Name string `json:"name"` // no other store has it, but what is restored from a backup of this one
}

func (c *call) store() error {
	c.start("application/json")
	return json.NewEncoder(c.w).Encode(Store{c.Name})
}
