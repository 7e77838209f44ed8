package store

import (
	"testing"

	"trackway"
)

// TestUnheld: a command is refused if another customer has an identifier that
// nobody else may have, and changes nothing.
func TestUnheld(t *testing.T) {
	t.Parallel()
	hard := func(value string) trackway.Identifier { return identifierOf("registered", value) }
	alias := func(previous, user string) trackway.Command {
		c := update(100, nil, identifierOf("cookie", previous), hard(user))
		other := hard(previous)
		c.Unheld = &other
		return c
	}
	s := openTest(t)
	mustApply(t, s, event("e", 1, nil, hard("jane")), event("e", 1, nil, hard("joe")), event("e", 1, nil, identifierOf("cookie", "a")))
	r := mustApply(t, s, alias("joe", "jane"), alias("a", "jane"), alias("jane", "jane"), alias("nobody", "new"))
	if err := r[0].Err; err == nil || err.Code != trackway.Conflict || err.Reason != trackway.OtherCustomer {
		t.Errorf("two users: got %v", err)
	}
	for i, one := range r[1:] {
		if one.Err != nil {
			t.Errorf("alias %d: %v", i+1, one.Err)
		}
	}
	if r[1].Customer != 1 || r[2].Customer != 1 {
		t.Errorf("got customers %d and %d, want 1", r[1].Customer, r[2].Customer)
	}
	mustBeConsistent(t, s)
}
