package members

import (
	"strings"

	"trackway/internal/partition"
)

// Together returns the status of a server with several partitions, each of
// which has the status of a cluster. ready is why it accepts no requests.
func Together(all []Status, ready string) Status {
	s := all[0]
	s.Ready, s.Level, s.Trouble = ready, Good, ""
	var told []string
	for i := range all {
		p := &all[i]
		name := "Partition " + partition.Name(i)
		s.Starting = s.Starting || p.Starting
		if p.Level.worse(s.Level) {
			s.Level, told = p.Level, nil
		}
		if p.Level == s.Level && p.Trouble != "" {
			told = append(told, name+": "+p.Trouble)
		}
		s.Partitions = append(s.Partitions, Partition{
			Number: i, ID: p.ID, Leader: p.Leader, Leading: p.Leading, Term: p.Term, Last: p.Last, Commit: p.Commit, Applied: p.Applied,
			Members: p.Members, Level: p.Level, Trouble: p.Trouble,
		})
	}
	s.Trouble = inOne(all, told)
	return s
}

// Also adds something that is wrong, although nothing is refused because of it.
func (s *Status) Also(trouble string) {
	if s.Level == Good {
		s.Level = Warn
	}
	s.Trouble = strings.TrimSpace(s.Trouble + " " + trouble)
}

// inOne returns what is wrong in one text. If the same is wrong in all
// partitions, it is said once.
func inOne(all []Status, told []string) string {
	for i := range all {
		if all[i].Trouble != all[0].Trouble {
			return strings.Join(told, " ")
		}
	}
	return all[0].Trouble
}

// worse reports whether a level is worse than another one.
func (l Level) worse(than Level) bool {
	rank := map[Level]int{Good: 0, Warn: 1, Bad: 2}
	return rank[l] > rank[than]
}
