package group

import (
	"math/rand/v2"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/entry"
)

// TestGroupsAreBounded: a group has at most so many commands and bytes, unless
// it is a single request.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	var g gathering
	all := make(map[*group]bool)
	for range 2000 {
		q := entry.Request{Commands: make([]trackway.Command, 1+random.IntN(trackway.MaxCommands))}
		for i := range q.Commands {
			c := &q.Commands[i]
			c.Kind, c.Received, c.Time, c.Project = trackway.AddEvent, trackway.MaxTime, trackway.MaxTime, 1<<32-1
			c.Type = strings.Repeat("t", random.IntN(20))
			for range random.IntN(3) {
				c.IDs = append(c.IDs, trackway.Identifier{Name: "cookie", Value: strings.Repeat("v", random.IntN(200)), Hard: true})
			}
			if random.IntN(200) == 0 {
				c.Properties = []trackway.Property{{Name: "p", Value: make([]byte, random.IntN(2*maxBytes))}}
			}
		}
		q.Results = make([]trackway.Result, len(q.Commands))
		joined, _ := g.join([]entry.Request{q})
		all[joined] = true
	}
	for gr := range all {
		b := entry.Append(nil, &entry.Once{Entry: &entry.Commands{Requests: gr.requests}})
		if len(gr.requests) > 1 && (len(b) > maxBytes+100 || gr.commands > maxCommands) {
			t.Errorf("a group of %d requests has %d commands and %d bytes", len(gr.requests), gr.commands, len(b))
		}
	}
	if len(all) < 10 {
		t.Errorf("%d groups only", len(all))
	}
}
