package store

import (
	"testing"

	"trackway"
)

// message returns an event that came with the id of a message. If claimed is 0,
// the client gave no time.
func message(id string, at, claimed trackway.Micros, ids ...trackway.Identifier) trackway.Command {
	c := event("e", at, map[string]string{trackway.MessageID: id}, ids...)
	c.TimeGiven, c.TimeVaries, c.Claimed = claimed != 0, at != claimed, claimed
	return c
}

// TestRepeats: a message that is sent again is stored once, whatever times its
// tries got, and even if its customer was absorbed.
func TestRepeats(t *testing.T) {
	t.Parallel()
	again := func(c trackway.Command) trackway.Command { // a later try, whose clock seems right
		c.Time, c.TimeVaries = c.Claimed, true
		return c
	}
	for name, test := range map[string]struct {
		first, between, second trackway.Command
		stored                 bool // the second one, too
	}{
		"corrected twice":           {first: message("1", 900, 100, cookie1), second: message("1", 901, 100, cookie1)},
		"then not corrected":        {first: message("1", 900, 100, cookie1), second: again(message("1", 900, 100, cookie1))},
		"first not corrected":       {first: message("1", 100, 100, cookie1), second: message("1", 900, 100, cookie1)},
		"no time":                   {first: message("1", 900, 0, cookie1), second: message("1", 950, 0, cookie1)},
		"another message":           {first: message("1", 900, 100, cookie1), second: message("2", 900, 100, cookie1), stored: true},
		"another message, no time":  {first: message("1", 900, 0, cookie1), second: message("2", 900, 0, cookie1), stored: true},
		"another customer":          {first: message("1", 900, 100, cookie1), second: message("1", 901, 100, cookie2), stored: true},
		"the customer was absorbed": {first: message("1", 900, 100, cookie2), between: event("f", 5, nil, cookie1, cookie2), second: message("1", 901, 100, cookie2)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openTest(t)
			mustApply(t, s, event("other", 1, nil, cookie1))
			if r := mustApply(t, s, test.first)[0]; r.Duplicate || r.Err != nil {
				t.Fatalf("the first: %+v", r)
			}
			if test.between.Kind != trackway.Nothing {
				mustApply(t, s, test.between)
			}
			if r := mustApply(t, s, test.second)[0]; r.Duplicate == test.stored || r.Err != nil {
				t.Errorf("the second: %+v", r)
			}
			mustBeConsistent(t, s)
		})
	}
}

// TestRepeatsGo: what is noted of an event's content goes with the event, and
// with the content.
func TestRepeatsGo(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	secret := message("1", 900, 100, cookie1)
	secret.Properties = propertiesOf(map[string]string{"email": "7", trackway.MessageID: "1"})
	first := mustApply(t, s, secret, message("2", 30, 100, cookie2))
	if _, err := s.Erase(demo, first[0].Customer, machinePersonal, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expire(t.Context(), 1, 1<<40, func(uint32, string) trackway.Micros { return 50 }); err != nil {
		t.Fatal(err)
	}
	mustBeConsistent(t, s)
	if left := s.mustReadTable(t, 'r'); len(left) > 0 {
		t.Errorf("%d are left: %v", len(left), left)
	}
}
