// Package partition numbers the projects of a server whose data is in several
// stores. Each store numbers its own projects, from 1. Outside the store, the
// upper bits of a project's number say which store has it, so that nothing has
// to be looked up to find it. The numbers of the first store are the same
// inside and outside, and so are those of a server with one store.
package partition

import (
	"fmt"

	"trackway"
)

// Most is the highest number of partitions of a server.
const Most = 64

// localBits are the lower bits of a project's number: its number in its store.
const localBits = 24

// MostProjects is how many projects a partition can have, if there are several.
const MostProjects = 1<<localBits - 1

// Of returns the partition of a project. It is meaningless if there is only
// one.
func Of(project uint32) int { return int(project >> localBits) }

// Local returns a project's number in its store.
func Local(project uint32) uint32 { return project & MostProjects }

// Global returns the number of a project that has a number in the store of a
// partition. 0 stays 0: the project is not known.
func Global(part int, local uint32) uint32 {
	if local == 0 {
		return 0
	}
	return uint32(part)<<localBits | local
}

// Split returns the projects of each of n partitions, with their numbers in the
// store. It leaves projects as they are.
func Split(projects []trackway.Project, n int) [][]trackway.Project {
	if n == 1 {
		return [][]trackway.Project{projects}
	}
	all := make([][]trackway.Project, n)
	for i := range projects {
		p := projects[i]
		part := Of(p.Number)
		p.Number = Local(p.Number)
		all[part] = append(all[part], p)
	}
	return all
}

// Name returns the name of a partition, as directories, commands and metrics
// have it.
func Name(part int) string { return fmt.Sprintf("p%02d", part) }
