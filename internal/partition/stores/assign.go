package stores

import (
	"fmt"

	"trackway"
	"trackway/internal/entry"
)

// Servers of a cluster may get the same new project in their configurations at
// the same time. So the first store has a table of places, to which entries of
// the log that they share are added. The first entry that names a project
// counts at all of them.

// assigned returns the partition of a project that is registered in one, or in
// none if it is below 0, as the table says. If the table lacks a registered
// project, which was there before the cluster, it is added to assigning.
func (s *Set) assigned(p *trackway.Project, registered int, assigning *entry.Assign) (part int, err error) {
	in, known, err := s.all[0].Assigned(p.Token)
	switch {
	case err != nil:
		return 0, fmt.Errorf("find project %q: %w", p.Name, err)
	case registered >= 0: // before the table says anything else
		if !known {
			add(assigning, p, registered)
		}
		return registered, nil
	case !known:
		return -1, nil
	}
	return s.existing(p, in)
}

func add(e *entry.Assign, p *trackway.Project, part int) {
	e.Tokens, e.Wanted = append(e.Tokens, p.Token), append(e.Wanted, uint32(part))
}

func (s *Set) existing(p *trackway.Project, part uint32) (int, error) {
	if int(part) >= len(s.all) {
		return 0, fmt.Errorf("project %q is in partition %d, and there are %d", p.Name, part, len(s.all))
	}
	return int(part), nil
}

// assign adds projects to the table: those in e, and those that are fresh. It
// writes the places of the latter into at: another server may have been first.
func (s *Set) assign(projects []trackway.Project, at, fresh []int, e *entry.Assign) error {
	for _, i := range fresh {
		add(e, &projects[i], at[i])
	}
	if len(e.Tokens) == 0 {
		return nil
	}
	if err := s.all[0].Assign(e); err != nil {
		return fmt.Errorf("find places for projects: %w", err)
	}
	in := make(map[string]uint32)
	for i, token := range e.Tokens {
		in[token] = e.Partitions[i]
	}
	for _, i := range fresh {
		part, err := s.existing(&projects[i], in[projects[i].Token])
		if err != nil {
			return err
		}
		at[i] = part
	}
	return nil
}
