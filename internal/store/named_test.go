package store

import (
	"fmt"
	"strings"
	"testing"

	"trackway"
)

// TestNamedIDsLetOthersIn: events of the type of merges that name many identifiers, each of which is noted, are not committed in one hold of
// the lock.
func TestNamedIDsLetOthersIn(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const events = 5
	cmds := make([]trackway.Command, events)
	for i := range cmds {
		var ids []string
		for j := range maxMoved {
			ids = append(ids, fmt.Sprintf(`"c%d-%d"`, i, j))
		}
		cmds[i] = event(trackway.MergeType, trackway.Micros(i), map[string]string{"cause_ids": `{"cookie":[` + strings.Join(ids, ",") + `]}`}, reg1)
	}
	before := s.Version(demo)
	mustApply(t, s, cmds...)
	if steps := s.Version(demo) - before; steps != events {
		t.Errorf("%d events were committed in %d steps", events, steps)
	}
	mustBeConsistent(t, s)
}
